"""What a sweep tries next depends on the seed and on what was found; which trials it stops is the median rule."""

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.options.space import Choices, Options, Range, parse_space
from tasks.train.proposals import FIRST_JUDGED_POINT, JUDGED_FROM, Proposals, should_stop

SPACE = parse_space({"learning_rate": "0.0003..0.01", "candidates": "4..64", "seed": "0|1|2", "ent_coef": "0..0.1"})
curves = st.lists(st.floats(0, 1), min_size=1, max_size=7)


def _searched(seed: int, rounds: int = 3) -> list[Options]:
    """Options proposed in rounds of 6; a higher learning rate is better, a candidate count above 50 fails."""
    proposals = Proposals(SPACE, seed, is_grid=False)
    tried = []
    for _ in range(rounds):
        for proposal in proposals.ask(6):
            rate, failed = proposal.options["learning_rate"], proposal.options["candidates"] > 50
            proposals.tell(proposal, None if failed else rate, [rate], pruned=rate < 0.0005)
            tried.append(proposal.options)
    return tried


def test_the_same_seed_and_findings_give_the_same_proposals() -> None:
    assert _searched(1) == _searched(1)
    assert _searched(1) != _searched(2)


def test_proposals_lie_in_the_space_and_learn_from_what_was_found() -> None:
    tried = _searched(0, rounds=6)
    for options in tried:
        for name, axis in SPACE.items():
            if isinstance(axis, Range):
                assert axis.low <= options[name] <= axis.high
                assert isinstance(options[name], int) == axis.whole
            else:
                assert options[name] in axis.values.values()
    first, last = tried[:12], tried[-12:]
    assert median(o["learning_rate"] for o in last) > median(o["learning_rate"] for o in first)


def test_a_grid_is_every_combination_once() -> None:
    space = parse_space({"seed": "0|1", "feature_columns": "none|a+b", "learning_rate": "none|0.1"})
    tried = [proposal.options for proposal in Proposals(space, 0, is_grid=True).ask(8)]
    assert len({str(options) for options in tried}) == 8
    assert {options["feature_columns"] for options in tried} == {(), ("a", "b")}
    assert all(isinstance(axis, Choices) for axis in space.values())


@given(curve=curves, others=st.lists(curves, max_size=8))
def test_a_trial_stops_where_its_best_is_below_the_median_at_its_point(
    curve: list[float], others: list[list[float]]
) -> None:
    point = len(curve) - 1
    there = [other[point] for other in others if len(other) > point]
    judged = len(others) >= JUDGED_FROM and point >= FIRST_JUDGED_POINT and bool(there)
    assert should_stop(curve, others) == (judged and max(curve) < median(there))


@pytest.mark.parametrize("best", [0.4, 0.6])
def test_the_first_trials_and_the_first_points_stop_none(best: float) -> None:
    others = [[0.5] * 7] * JUDGED_FROM
    assert should_stop([best] * 3, others) == (best < 0.5)
    assert not should_stop([best] * 3, others[1:])
    assert not should_stop([best] * FIRST_JUDGED_POINT, others)
