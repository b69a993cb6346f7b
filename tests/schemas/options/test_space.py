"""What a sweep tries: the space is read as it is written, and each kind of mistake is one line before anything runs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError
from schemas.options.space import SAME_FOR_ALL, SWEPT, Choices, Range, parse_space, written
from schemas.options.sweep import DEFAULT_TRIALS, SweepConfig
from schemas.options.train import TrainConfig, parse

names = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True).filter(lambda name: name != "none")
rates = st.floats(1e-9, 0.999)


@given(low=rates, high=rates, seeds=st.sets(st.integers(0, 2**31 - 1), min_size=1, max_size=4))
def test_numbers_written_as_a_space_are_read_back(low: float, high: float, seeds: set[int]) -> None:
    if low == high:
        return
    low, high = sorted((low, high))
    space = parse_space({"learning_rate": f"{low!r}..{high!r}", "seed": "|".join(map(str, seeds))})
    assert space["learning_rate"] == Range(low, high)
    assert isinstance(space["seed"], Choices)
    assert list(space["seed"].values.values()) == list(seeds)


@given(sets=st.sets(st.lists(names, max_size=3, unique=True).map(tuple), min_size=1, max_size=4))
def test_sets_of_columns_are_read_back(sets: set[tuple[str, ...]]) -> None:
    axis = parse_space({"feature_columns": "|".join(map(written, sets))})["feature_columns"]
    assert isinstance(axis, Choices)
    assert list(axis.values.values()) == list(sets)


@given(low=st.integers(2, 62), more=st.integers(1, 30))
def test_a_range_of_an_option_in_whole_numbers_holds_whole_numbers(low: int, more: int) -> None:
    axis = parse_space({"candidates": f"{low}..{min(low + more, 64)}"})["candidates"]
    assert isinstance(axis, Range)
    assert axis.whole
    assert axis.by_logarithm


def test_a_range_from_0_is_drawn_evenly() -> None:
    axis = parse_space({"ent_coef": "0..0.1"})["ent_coef"]
    assert isinstance(axis, Range)
    assert not axis.by_logarithm


def test_every_option_of_train_is_swept_or_the_same_for_all() -> None:
    assert set(SWEPT) | set(SAME_FOR_ALL) == set(TrainConfig.model_fields)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"lerning_rate": "0.1"}, "space: lerning_rate is not an option of train; did you mean learning_rate"),
        ({"source": "a|b"}, "space: source must be the same for all trials, or they would not compare; give --source"),
        ({"hold_back": "true"}, "space: hold_back must be the same for all trials"),
        ({"learning_rate": "0.1..3"}, "space: learning_rate=3: Input should be less than 1; see --learning-rate"),
        ({"learning_rate": "fast"}, "space: learning_rate=fast: Input should be a valid number"),
        ({"candidates": "8|1"}, "space: candidates=1: Input should be greater than or equal to 2"),
        ({"seed": "1.5"}, "space: seed=1.5: Input should be a valid integer"),
        ({"seed": ""}, "space: seed=: Input should be a valid integer"),
        ({"seed": "none"}, "space: seed=none: Input should be a valid integer"),
        ({"seed": "3..1"}, "space: seed=3..1: the low end must be below the high one"),
        ({"seed": "0..2|4"}, "space: seed=0..2|4: give LOW..HIGH, or A|B|C"),
        ({"algorithm": "dqn|sac"}, "space: algorithm=sac: Input should be 'dqn', 'ppo' or 'a2c'"),
        ({"feature_columns": "a..b"}, "space: feature_columns=a..b: only numbers have ranges"),
        ({"cache_fraction": "0.01..0.1"}, "space: cache_fraction=0.01..0.1: scores of different sizes do not compare"),
        ({"n_steps": "4|8"}, "space: no combination of it can be trained with: n_steps: not an option of dqn"),
        ({"seed": "|".join(map(str, range(1001)))}, "space: 1,001 combinations of each size; say how many with trials"),
    ],
)
def test_a_mistake_is_one_line_that_names_option_value_and_remedy(space: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(SweepConfig, {"space": space})
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_trials_need_a_part_to_be_judged_on() -> None:
    with pytest.raises(ConfigError, match="validation_fraction: trials are judged on that part"):
        parse(SweepConfig, {"validation_fraction": 0})


@pytest.mark.parametrize("decision", ["eviction", "admission", "ttl"])
@pytest.mark.parametrize("algorithm", ["dqn", "ppo", "a2c"])
def test_without_a_space_each_algorithm_and_decision_has_one_that_it_takes(algorithm: str, decision: str) -> None:
    config = parse(SweepConfig, {"algorithm": algorithm, "decision": decision})
    assert "learning_rate" in config.axes
    assert config.trials_of_each_size == DEFAULT_TRIALS


def test_sizes_are_searched_each_by_itself() -> None:
    config = parse(SweepConfig, {"space": {"cache_fraction": "0.01|0.1", "seed": "0|1|2", "candidates": "8|16"}})
    assert config.sizes == [{"cache_fraction": 0.01}, {"cache_fraction": 0.1}]
    assert set(config.searched) == {"seed", "candidates"}
    assert config.is_grid
    assert config.trials_of_each_size == math.prod((3, 2))


def test_a_trial_learns_nothing_from_what_it_is_judged_on() -> None:
    config = parse(SweepConfig, {"seeds": 5, "cache_size": 10})
    trial = config.trial({"candidates": 8})
    assert (trial.hold_back, trial.seeds, trial.candidates, trial.cache_size) == (True, 1, 8, 10)
    best = config.training({"candidates": 8})
    assert (best.hold_back, best.seeds) == (False, 5)
