"""Two bundles on the same requests: each as its own training encoded them, judged by the challenger's measure."""

from dataclasses import replace
from pathlib import Path

import pytest

from learning.bundle.compiled import compiled_policy
from learning.bundle.load import LoadedBundle
from learning.describe import evaluation_dict
from learning.evaluation.evaluate import evaluate
from learning.promotion.challenge import CHAMPION, duel
from learning.promotion.problem import bundle_problem
from schemas.errors import ConfigError
from schemas.options.train import TrainConfig
from schemas.trace import Trace
from tests.learning.promotion.judged_bundles import make_bundle, recorded

JUDGED_FROM = 1_000


@pytest.fixture(scope="module")
def later() -> Trace:
    return recorded(seed=1, start_s=10_000.0)


@pytest.fixture(scope="module")
def with_columns(tmp_path_factory: pytest.TempPathFactory) -> LoadedBundle:
    config = TrainConfig(cache_size=60, cache_weights={"size_bytes": 1.0})
    return make_bundle(tmp_path_factory.mktemp("bundles") / "b", recorded(), config)


@pytest.fixture(scope="module")
def without_columns(tmp_path_factory: pytest.TempPathFactory) -> LoadedBundle:
    """Of another algorithm, capacity and objective too."""
    trace = without(recorded())
    return make_bundle(tmp_path_factory.mktemp("bundles") / "b", trace, TrainConfig(algorithm="a2c", cache_size=90), 1)


def without(trace: Trace) -> Trace:
    return replace(trace, column_names=(), text_names=(), text_values=())


def test_each_plays_as_it_does_alone_at_the_size_and_by_the_measure_of_the_challenger(
    later: Trace, with_columns: LoadedBundle, without_columns: LoadedBundle
) -> None:
    found = duel(without_columns, with_columns, later, JUDGED_FROM, seed=0)
    alone = bundle_problem(without_columns.metadata, later, JUDGED_FROM)
    assert found.challenger_score == evaluate(alone, compiled_policy(without_columns), 0).policy
    same_size = bundle_problem(with_columns.metadata, later, JUDGED_FROM, alone.served_capacity, weights={})
    assert found.opponent == CHAMPION
    assert found.opponent_score == evaluate(same_size, compiled_policy(with_columns), 0).policy
    assert found.opponent_score.value_ratio == found.opponent_score.hit_ratio  # hits count alike to the challenger


def test_the_difference_is_that_of_the_scores_and_lies_in_its_interval(
    later: Trace, with_columns: LoadedBundle, without_columns: LoadedBundle
) -> None:
    for challenger, champion in ((with_columns, without_columns), (without_columns, with_columns)):
        found = duel(challenger, champion, later, JUDGED_FROM, seed=0)
        ours, theirs, value = found.challenger_score, found.opponent_score, found.comparison.value_ratio
        assert value.difference == pytest.approx(ours.value_ratio - theirs.value_ratio)
        assert found.comparison.hit_ratio.difference == pytest.approx(ours.hit_ratio - theirs.hit_ratio)
        assert value.low < value.difference < value.high


def test_against_itself_there_is_no_difference(later: Trace, with_columns: LoadedBundle) -> None:
    found = duel(with_columns, with_columns, later, JUDGED_FROM, seed=3).comparison.value_ratio
    assert (found.difference, found.low, found.high) == (0, 0, 0)


def test_without_a_champion_the_reference_is_the_opponent(
    later: Trace, without_columns: LoadedBundle, tmp_path: Path
) -> None:
    found = duel(without_columns, None, later, JUDGED_FROM, seed=0)
    assert (found.opponent, found.opponent_score) == ("lru", found.evaluation.baselines["lru"])
    assert found.comparison == found.evaluation.comparisons["policy"]["lru"]
    assert evaluation_dict(found.evaluation)["test"]["variants"] == {}
    ttl = make_bundle(tmp_path / "b", recorded(), TrainConfig(decision="ttl", cache_size=60, eviction="s3-fifo"))
    assert duel(ttl, None, later, JUDGED_FROM, seed=0).opponent == "s3-fifo"
    with pytest.raises(ConfigError, match="different decisions cannot be compared: ttl and eviction"):
        duel(ttl, without_columns, later, JUDGED_FROM, seed=0)
