"""What is particular to a policy: MIN with bypass is the optimum, random draws are fair, frequencies age."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.capacity import Capacity
from cachesim.replay import POLICIES, begin, replay
from cachesim.requests import chunks
from schemas.trace import Trace


def most_hits(keys: list[int], limit: int) -> int:
    """Try every eviction and every refusal: the most hits for each content that the cache may have."""
    best: dict[frozenset[int], int] = {frozenset(): 0}
    for key in keys:
        reached: dict[frozenset[int], int] = {}
        for held, hits in best.items():
            choices = [held] if key in held or len(held) == limit else [held | {key}]
            if key not in held and len(held) == limit:
                choices += [held - {victim} | {key} for victim in held]
            for choice in choices:
                reached[choice] = max(reached.get(choice, 0), hits + (key in held))
        best = reached
    return max(best.values())


@given(keys=st.lists(st.integers(0, 6), min_size=1, max_size=25), limit=st.integers(1, 4))
def test_no_decisions_hit_more_than_min_with_bypass(
    make_trace: Callable[..., Trace], keys: list[int], limit: int
) -> None:
    assert replay(make_trace(keys), "min-bypass", Capacity(limit, "objects")).hit.sum() == most_hits(keys, limit)


def test_an_object_that_never_comes_again_is_refused_when_the_cache_is_full(make_trace: Callable[..., Trace]) -> None:
    outcome = replay(make_trace([0, 1, 2, 3, 4]), "min-bypass", Capacity(2, "objects")).whole
    assert (outcome.admissions, outcome.evictions, outcome.rejections) == (2, 0, 3)


@given(keys=st.lists(st.integers(0, 6), min_size=1, max_size=100), limit=st.integers(1, 3))
def test_a_segmented_lru_cache_of_less_than_four_objects_is_an_lru_cache(
    make_trace: Callable[..., Trace], keys: list[int], limit: int
) -> None:
    trace, capacity = make_trace(keys), Capacity(limit, "objects")
    assert replay(trace, "slru", capacity).hit.tolist() == replay(trace, "lru", capacity).hit.tolist()


@pytest.mark.parametrize("policy", ["clock", "sieve"])
def test_what_was_requested_again_outlives_older_and_newer_objects_that_were_not(
    make_trace: Callable[..., Trace], policy: str
) -> None:
    """Ten objects, of which 0 to 4 are hit: five newcomers replace 5 to 9. FIFO would evict 0 to 4."""
    trace = make_trace([*range(10), *range(5), *range(10, 15), *range(5)])
    assert replay(trace, policy, Capacity(10, "objects")).hit[-5:].all()
    assert not replay(trace, "fifo", Capacity(10, "objects")).hit[-5:].any()


def test_sieve_judges_newcomers_before_it_returns_to_what_it_spared(make_trace: Callable[..., Trace]) -> None:
    """The hand spares 0 and evicts 1, then goes on to 2, 3, 4, 5. In CLOCK 0 is put behind 2 and goes after it."""
    trace = make_trace([0, 1, 2, 0, 3, 4, 5, 6, 7, 0])
    assert replay(trace, "sieve", Capacity(3, "objects")).hit[-1]
    assert not replay(trace, "clock", Capacity(3, "objects")).hit[-1]


def test_the_hand_of_sieve_moves_on_when_its_object_expires(make_trace: Callable[..., Trace]) -> None:
    """0 was evicted and the hand points to 1, which expires and comes back as the newest: the hand is at 2."""
    lives = np.array([np.inf, 2.5, *[np.inf] * 5])
    outcome = replay(make_trace([0, 1, 2, 3, 1, 4, 1]), "sieve", Capacity(3, "objects"), ttl_s=lives)
    assert (outcome.whole.expiries, outcome.hit.tolist()) == (1, [0, 0, 0, 0, 0, 0, 1])


@pytest.mark.parametrize("policy", ["clock", "sieve"])
def test_a_copy_that_replaces_an_expired_one_was_not_requested_yet(
    make_trace: Callable[..., Trace], policy: str
) -> None:
    """The first copy of 0 was hit, the second was not: it goes before 1."""
    lives = np.array([1.5, *[np.inf] * 5])
    outcome = replay(make_trace([0, 0, 0, 1, 2, 1]), policy, Capacity(2, "objects"), ttl_s=lives)
    assert (outcome.whole.expiries, outcome.hit.tolist()) == (1, [0, 1, 0, 0, 0, 1])


def test_random_evicts_each_resident_equally_often(make_trace: Callable[..., Trace]) -> None:
    """Of 50 residents each outlives 50 evictions with probability .98^50; 200 seeds, 4 standard deviations."""
    trace, capacity, seeds = make_trace(range(100)), Capacity(50, "objects"), 200
    outlived = np.zeros(50)
    for seed in range(seeds):
        state = begin(trace, "random", capacity, seed)
        for _, requests in chunks(trace, capacity):
            POLICIES["random"].replay(state, requests, np.zeros(100, np.bool_))
        outlived += state.ledger.charge[:50] > 0
    expected = 0.98**50
    deviation = (expected * (1 - expected) / seeds) ** 0.5
    assert np.abs(outlived / seeds - expected).max() < 4 * deviation
    assert abs(outlived.mean() / seeds - expected) < deviation


def test_a_seed_decides_whom_random_evicts(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace(np.random.default_rng(0).integers(0, 60, 2_000).tolist())
    hits = [replay(trace, "random", Capacity(30, "objects"), seed=seed).hit for seed in (1, 1, 2)]
    np.testing.assert_array_equal(hits[0], hits[1])
    assert (hits[0] != hits[2]).any()
    assert abs(hits[0].mean() - 0.5) < 0.05  # 30 of 60 objects of equal popularity


def test_what_was_popular_once_leaves_with_aging_and_stays_without(make_trace: Callable[..., Trace]) -> None:
    """0 is requested ten times; then pairs of requests for ever new objects pass through two places."""
    passing = [key for key in range(1, 40) for _ in range(2)]
    trace = make_trace([0] * 10 + passing + [0])
    assert not replay(trace, "lfu-aging", Capacity(2, "objects")).hit[-1]
    assert replay(trace, "lfu", Capacity(2, "objects")).hit[-1]
