"""What every policy promises, with capacity in objects and in bytes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cachesim.capacity import Capacity
from cachesim.oracle import next_request
from cachesim.policies.ledger import RESIDENTS, USED
from cachesim.replay import BASELINES, BOUNDS, POLICIES, begin, replay
from schemas.trace import Trace

CAPACITIES = [Capacity(20, "objects"), Capacity(3, "objects"), Capacity(4_000, "bytes"), Capacity(500, "bytes")]
every_policy = pytest.mark.parametrize("policy", POLICIES)
every_capacity = pytest.mark.parametrize("capacity", CAPACITIES, ids=lambda c: f"{c.limit}-{c.unit}")


@pytest.fixture(scope="module")
def trace(make_trace: Callable[..., Trace]) -> Trace:
    """3,000 requests: popular objects of drifting popularity, and scans; sizes that change and may exceed 500 bytes."""
    rng = np.random.default_rng(7)
    popular = (rng.zipf(1.3, 3_000) % 150 + np.arange(3_000) // 100) % 150
    scanned = 150 + np.arange(3_000) % 90
    keys = np.where(np.arange(3_000) // 200 % 3 == 2, scanned, popular)
    return make_trace(keys.tolist(), (50 + keys * 7 % 400 + rng.integers(0, 100, 3_000)).tolist())


@pytest.fixture(scope="module")
def constant_sizes(trace: Trace, make_trace: Callable[..., Trace]) -> Trace:
    return make_trace(trace.key.tolist(), (50 + trace.key * 7 % 400).tolist())


def steps(trace: Trace, policy: str, capacity: Capacity, state: Any, span: range) -> list[bool]:
    charges = capacity.charges(trace)
    return [POLICIES[policy].access(state, trace.key[i], charges[i]) for i in span]


def copy_of(state: Any) -> Any:
    return state.copy() if isinstance(state, np.ndarray) else type(state)(*map(copy_of, state))


def test_the_registry_is_the_baselines_and_the_bounds() -> None:
    assert sorted(POLICIES) == sorted(BASELINES + BOUNDS)


@every_policy
@every_capacity
def test_the_counts_add_up(trace: Trace, policy: str, capacity: Capacity) -> None:
    outcome = replay(trace, policy, capacity)
    misses = int((~outcome.hit).sum())
    assert outcome.hit.size == len(trace)
    assert misses == outcome.admissions + outcome.rejections
    assert outcome.admissions - outcome.evictions == outcome.resident_objects
    assert 0 < outcome.hit.sum() < len(trace)
    assert 1 <= outcome.mean_eviction_age_requests < len(trace)
    if capacity.unit == "objects":
        assert outcome.rejections == 0
        assert outcome.resident_charge == outcome.resident_objects


@every_policy
@every_capacity
def test_occupancy_never_exceeds_the_capacity(trace: Trace, policy: str, capacity: Capacity) -> None:
    state, charges = begin(trace, policy, capacity), capacity.charges(trace)
    for i in range(len(trace)):
        POLICIES[policy].access(state, trace.key[i], charges[i])
        assert state.ledger.charge.sum() == state.ledger.counts[USED] <= capacity.limit
        assert np.count_nonzero(state.ledger.charge) == state.ledger.counts[RESIDENTS]
        assert state.ledger.charge[trace.key[i]] > 0 or charges[i] > capacity.limit


@every_policy
@every_capacity
def test_single_steps_equal_a_whole_replay(trace: Trace, policy: str, capacity: Capacity) -> None:
    hits = steps(trace, policy, capacity, begin(trace, policy, capacity), range(len(trace)))
    assert hits == replay(trace, policy, capacity).hit.tolist()


@every_policy
@every_capacity
def test_a_snapshot_continues_like_the_original(trace: Trace, policy: str, capacity: Capacity) -> None:
    state = begin(trace, policy, capacity)
    before = steps(trace, policy, capacity, state, range(1_500))
    snapshot = copy_of(state)
    original = steps(trace, policy, capacity, state, range(1_500, len(trace)))
    assert steps(trace, policy, capacity, snapshot, range(1_500, len(trace))) == original
    assert before + original == replay(trace, policy, capacity).hit.tolist()


@every_policy
@every_capacity
def test_a_replay_repeats_exactly(trace: Trace, policy: str, capacity: Capacity) -> None:
    first, second = replay(trace, policy, capacity), replay(trace, policy, capacity)
    np.testing.assert_array_equal(first.hit, second.hit)
    assert first.mean_eviction_age_requests == second.mean_eviction_age_requests


@every_policy
@pytest.mark.parametrize("objects", [1, 2, 5, 20, 80, 200])
def test_no_policy_hits_more_than_belady_with_objects(trace: Trace, policy: str, objects: int) -> None:
    capacity = Capacity(objects, "objects")
    assert replay(trace, policy, capacity).hit.sum() <= replay(trace, "belady", capacity).hit.sum()


@every_policy
def test_one_object_serves_immediate_repetitions_only(trace: Trace, policy: str) -> None:
    repeated = np.concatenate([[False], trace.key[1:] == trace.key[:-1]])
    np.testing.assert_array_equal(replay(trace, policy, Capacity(1, "objects")).hit, repeated)


@every_policy
@pytest.mark.parametrize("unit", ["objects", "bytes"])
def test_a_cache_for_all_misses_first_requests_only(constant_sizes: Trace, policy: str, unit: str) -> None:
    trace = constant_sizes
    _, first = np.unique(trace.key, return_index=True)
    limit = first.size if unit == "objects" else int(trace.size_bytes[first].sum())
    outcome = replay(trace, policy, Capacity(limit, "objects" if unit == "objects" else "bytes"))
    assert np.flatnonzero(~outcome.hit).tolist() == np.sort(first).tolist()
    assert outcome.evictions == 0
    assert np.isnan(outcome.mean_eviction_age_requests)


@every_policy
def test_an_object_larger_than_the_cache_is_refused_and_evicts_nobody(
    make_trace: Callable[..., Trace], policy: str
) -> None:
    outcome = replay(make_trace([0, 1, 0, 1], [10, 11, 10, 11]), policy, Capacity(10, "bytes"))
    assert outcome.hit.tolist() == [False, False, True, False]
    assert (outcome.rejections, outcome.evictions, outcome.resident_charge) == (2, 0, 10)


@every_policy
def test_an_empty_trace_has_an_outcome(make_trace: Callable[..., Trace], policy: str) -> None:
    outcome = replay(make_trace([]), policy, Capacity(1, "objects"))
    assert outcome.hit.size == outcome.admissions == outcome.resident_objects == 0


def test_the_bound_needs_the_future_of_the_whole_trace(trace: Trace) -> None:
    state = begin(trace, "belady", CAPACITIES[0])
    np.testing.assert_array_equal(state.next_request, next_request(trace.key, trace.n_keys))
