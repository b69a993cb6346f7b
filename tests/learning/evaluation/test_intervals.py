"""Intervals hold what they promise: about 95 % of them cover the truth, also where requests depend on each other."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from learning.evaluation.intervals import BLOCKS, FEWEST_REQUESTS, Difference, paired_difference

Hits = NDArray[np.bool_]
Outcomes = Callable[[int, float, np.random.Generator], NDArray[np.float64]]


def alternating(n: int, stay: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Probabilities of a hit with two regimes that last `stay` requests on average; the mean over all draws is .4."""
    regime = (np.cumsum(rng.random(n) < 1 / stay) + rng.integers(2)) % 2
    return 0.3 + 0.2 * regime


def wandering(n: int, stay: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Probabilities of a hit that follow an AR(1) process of that correlation time, around .4."""
    decay = np.exp(-np.arange(1, n + 1) / stay)
    steps = np.sqrt(1 - np.exp(-2 / stay)) * rng.standard_normal(n) / decay
    level = decay * (rng.standard_normal() + np.cumsum(steps))
    return 0.4 + np.clip(0.1 * level, -0.3, 0.3)


def pair(chance: NDArray[np.float64], rng: np.random.Generator) -> tuple[Hits, Hits]:
    """Hits of a policy with these chances and of one with .4 throughout; four fifths of the luck is shared."""
    luck, other = rng.random(chance.size), rng.random(chance.size)
    return luck < chance, np.where(rng.random(chance.size) < 0.8, luck, other) < 0.4


@pytest.mark.parametrize(
    ("outcomes", "stay", "least"),
    [
        (alternating, 1.0, 0.92),  # independent requests
        (alternating, 10.0, 0.92),
        (alternating, 40.0, 0.92),  # a hundredth of the span
        (alternating, 100.0, 0.90),
        (wandering, 40.0, 0.91),
    ],
)
def test_about_95_of_100_intervals_cover_the_true_difference(outcomes: Outcomes, stay: float, least: float) -> None:
    """The truth is 0; 300 draws, so that a coverage of .95 shows as .92 to .98."""
    covered = []
    for seed in range(300):
        rng = np.random.default_rng([seed, 1])
        first, second = pair(outcomes(4_000, stay, rng), rng)
        found = paired_difference(first, second, np.exp(0.5 * rng.standard_normal(4_000)), seed)
        assert found.low is not None
        assert found.high is not None
        covered.append(found.low <= 0 <= found.high)
    assert least <= np.mean(covered) <= 0.985


def test_single_requests_as_blocks_would_promise_too_much() -> None:
    """What the long blocks are for: the plain standard error covers half of what it should."""
    covered = []
    for seed in range(200):
        rng = np.random.default_rng([seed, 1])
        first, second = pair(alternating(4_000, 100.0, rng), rng)
        apart = first.astype(float) - second
        covered.append(abs(apart.mean()) <= 1.96 * apart.std() / np.sqrt(apart.size))
    assert np.mean(covered) < 0.75


def test_of_independent_requests_it_is_hardly_wider_than_the_normal_interval() -> None:
    ratios = []
    for seed in range(50):
        rng = np.random.default_rng([seed, 1])
        first, second = pair(np.full(6_000, 0.4), rng)
        found = paired_difference(first, second, np.ones(6_000), seed)
        assert found.low is not None
        assert found.high is not None
        apart = first.astype(float) - second
        ratios.append((found.high - found.low) / (2 * 1.96 * apart.std() / np.sqrt(apart.size)))
    assert 1.0 < np.mean(ratios) < 1.2


def test_the_difference_is_that_of_the_value_ratios() -> None:
    rng = np.random.default_rng(3)
    first, second, values = rng.random(5_000) < 0.5, rng.random(5_000) < 0.4, rng.exponential(1, 5_000)
    found = paired_difference(first, second, values, 0)
    assert found.difference == pytest.approx((values[first].sum() - values[second].sum()) / values.sum())
    assert found.low is not None
    assert found.high is not None
    assert -1 <= found.low < found.difference < found.high <= 1


def test_what_both_hit_cancels_out() -> None:
    """Paired: the same hundred differences on top of any shared hits have the same interval."""
    apart = np.zeros(6_000, np.bool_)
    apart[::60] = True
    shared = np.random.default_rng(0).random(6_000) < 0.7
    alone = paired_difference(apart, np.zeros(6_000, np.bool_), np.ones(6_000), 0)
    together = paired_difference(shared | apart, shared & ~apart, np.ones(6_000), 0)
    assert together == alone


@given(
    hits=st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 9)), min_size=1, max_size=40),
    times=st.integers(1, 40),
    seed=st.integers(0, 5),
)
def test_exchanging_the_two_turns_the_sign_and_nothing_leaves_the_possible(
    hits: list[tuple[bool, bool, float]], times: int, seed: int
) -> None:
    first, second = (np.tile(np.array([row[i] for row in hits], np.bool_), times) for i in (0, 1))
    values = np.tile(np.array([row[2] for row in hits]), times) + 1e-3
    one, other = paired_difference(first, second, values, seed), paired_difference(second, first, values, seed)
    assert one.difference == -other.difference
    assert (one.low is None) == (one.high is None) == (other.low is None)
    if one.low is not None and one.high is not None:
        assert -1 <= one.low <= one.high <= 1
        assert other.high == pytest.approx(-one.low, abs=2e-3 + 0.1 * (one.high - one.low))


def test_policies_that_do_the_same_differ_by_nothing_for_sure() -> None:
    hit = np.random.default_rng(0).random(50) < 0.5
    assert paired_difference(hit, hit, np.ones(50), 0) == Difference(0.0, 0.0, 0.0)


def test_a_short_span_gives_no_interval() -> None:
    rng = np.random.default_rng(0)
    for n, known in ((FEWEST_REQUESTS - 1, False), (FEWEST_REQUESTS, True)):
        found = paired_difference(rng.random(n) < 0.5, rng.random(n) < 0.4, np.ones(n), 0)
        assert (found.low is not None, found.high is not None) == (known, known)


def test_a_difference_in_one_place_only_gives_no_interval() -> None:
    """A third of the draws of twelve blocks would not see it at all."""
    first = np.zeros(12_000, np.bool_)
    first[5_000:5_400] = True
    found = paired_difference(first, np.zeros(12_000, np.bool_), np.ones(12_000), 0)
    assert found == Difference(400 / 12_000, None, None)


def test_an_interval_repeats_with_its_seed() -> None:
    rng = np.random.default_rng(0)
    first, second, values = rng.random(3_000) < 0.5, rng.random(3_000) < 0.4, np.ones(3_000)
    found = [paired_difference(first, second, values, seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_400_000_requests_take_far_less_than_a_second() -> None:
    rng = np.random.default_rng(0)
    first, second, values = rng.random(400_000) < 0.5, rng.random(400_000) < 0.4, rng.exponential(1, 400_000)
    started_s = time.process_time()
    paired_difference(first, second, values, 0)
    assert time.process_time() - started_s < 0.5
    assert BLOCKS == 12
