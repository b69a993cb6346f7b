"""What every policy promises, with capacity in objects and in bytes."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from cachesim.capacity import Capacity
from cachesim.oracle import next_request
from cachesim.policies.parts.ledger import LIMIT, RESIDENTS, USED
from cachesim.replay import BASELINES, BOUNDS, LEARNED, POLICIES, TTL_POLICIES, Outcome, begin, kernels_of
from cachesim.replay import replay as replay_with
from cachesim.requests import chunks
from cachesim.state import copy_into
from schemas.trace import Trace
from tests.models.learned.nets import OPTIONS

CAPACITIES = [Capacity(20, "objects"), Capacity(3, "objects"), Capacity(4_000, "bytes"), Capacity(500, "bytes")]
MAY_REFUSE = ("min-bypass", "gdsf", "adapt-size", "learned", "guarded")  # also what would fit
# With room for all: slru trims a full segment all the same, and adapt-size refuses large objects.
HOLDS_ALL = [
    (policy, unit)
    for policy in [*POLICIES, *LEARNED]
    for unit in ("objects", "bytes")
    if policy != "slru" and (policy, unit) != ("adapt-size", "bytes")
]
every_policy = pytest.mark.parametrize("policy", [*POLICIES, *LEARNED])
every_capacity = pytest.mark.parametrize("capacity", CAPACITIES, ids=lambda c: f"{c.limit}-{c.unit}")
every_lifetime = pytest.mark.parametrize("ttl_s", [np.inf, 3.0], ids=["for-ever", "3-s"])


@pytest.fixture(scope="module")
def trace(make_trace: Callable[..., Trace]) -> Trace:
    """3,000 requests: popular objects of drifting popularity, and scans; sizes that change and may exceed 500 bytes."""
    rng = np.random.default_rng(7)
    popular = (rng.zipf(1.3, 3_000) % 150 + np.arange(3_000) // 100) % 150
    scanned = 150 + np.arange(3_000) % 90
    keys = np.where(np.arange(3_000) // 200 % 3 == 2, scanned, popular)
    return make_trace(
        keys.tolist(), (50 + keys * 7 % 400 + rng.integers(0, 100, 3_000)).tolist(), rng.exponential(40, 3_000).tolist()
    )


@pytest.fixture(scope="module")
def constant_sizes(trace: Trace, make_trace: Callable[..., Trace]) -> Trace:
    return make_trace(trace.key.tolist(), (50 + trace.key * 7 % 400).tolist())


def replay(trace: Trace, policy: str, capacity: Capacity, **lives: float) -> Outcome:
    return replay_with(trace, policy, capacity, **lives, **OPTIONS.get(policy, {}))


def states(trace: Trace, policy: str, capacity: Capacity, ttl_s: float) -> Iterator[tuple[int, bool, object]]:
    """Yield the state after each request, and whether the request hit."""
    state, kernels = begin(trace, policy, capacity, **OPTIONS.get(policy, {})), kernels_of(policy)
    for span, requests in chunks(trace, capacity, ttl_s):
        for i in range(requests.key.size):
            hit = kernels.steps.access(state, requests, i)
            if not hit:
                kernels.steps.admit(state, requests, i)
            yield span.start + i, hit, state


def test_the_registry_is_the_baselines_and_the_bounds() -> None:
    assert sorted(POLICIES) == sorted(BASELINES + BOUNDS)


@every_policy
@every_capacity
@every_lifetime
def test_the_counts_add_up(trace: Trace, policy: str, capacity: Capacity, ttl_s: float) -> None:
    outcome = replay(trace, policy, capacity, ttl_s=ttl_s)
    done, misses = outcome.whole, int((~outcome.hit).sum())
    assert outcome.hit.size == len(trace)
    assert misses == done.admissions + done.rejections
    assert done.admissions - done.evictions - done.expiries == done.resident_objects
    assert 0 < outcome.hit.sum() < len(trace)
    assert (done.expiries > 0) == (ttl_s == 3.0)
    assert (done.evictions > 0) or (policy in TTL_POLICIES and ttl_s == 3.0)  # those make room by expiring
    assert done.evictions == 0 or 0 <= done.mean_eviction_age_requests < len(trace)
    assert done.occupancy == done.resident_charge / capacity.limit
    if capacity.unit == "objects":
        assert done.rejections == 0 or policy in MAY_REFUSE
        assert done.resident_charge == done.resident_objects


@every_policy
@every_capacity
@every_lifetime
def test_the_ledger_is_right_after_every_request(trace: Trace, policy: str, capacity: Capacity, ttl_s: float) -> None:
    """Occupancy never exceeds the capacity, and what was admitted is resident."""
    charges = capacity.charges(trace)
    for i, _, state in states(trace, policy, capacity, ttl_s):
        ledger = state.ledger
        assert ledger.charge.sum() == ledger.counts[USED] <= ledger.counts[LIMIT] == capacity.limit
        assert np.count_nonzero(ledger.charge) == ledger.counts[RESIDENTS]
        assert ledger.charge[trace.key[i]] > 0 or charges[i] > capacity.limit or policy in MAY_REFUSE
        knows = kernels_of(policy).knows(state, slice(0, trace.n_keys))
        assert knows[ledger.charge > 0].all()


@every_policy
@every_capacity
@every_lifetime
def test_single_steps_equal_a_whole_replay(trace: Trace, policy: str, capacity: Capacity, ttl_s: float) -> None:
    hits = [hit for _, hit, _ in states(trace, policy, capacity, ttl_s)]
    assert hits == replay(trace, policy, capacity, ttl_s=ttl_s).hit.tolist()


@every_policy
@every_capacity
@pytest.mark.parametrize("more_keys", [0, 77])
def test_a_copy_of_a_state_goes_on_like_the_original(
    trace: Trace, policy: str, capacity: Capacity, more_keys: int
) -> None:
    """Also when the copy has room for more keys."""
    spans = chunks(trace, capacity, stops=[1_500])
    options, kernels = OPTIONS.get(policy, {}), kernels_of(policy)
    state, (_, first), (_, second) = begin(trace, policy, capacity, **options), next(spans), next(spans)
    hit, copied_hit = np.zeros(1_500, np.bool_), np.zeros(1_500, np.bool_)
    kernels.replay(state, first, hit)
    future = {"next_request": next_request(trace.key, trace.n_keys)} if policy in BOUNDS else {}
    copy = kernels.start(trace.n_keys + more_keys, capacity.limit, **future, **options)
    copy_into(state, copy, trace.n_keys, trace.n_keys + more_keys)
    kernels.replay(state, second, hit)
    kernels.replay(copy, second, copied_hit)
    np.testing.assert_array_equal(hit, copied_hit)
    np.testing.assert_array_equal(hit, replay(trace, policy, capacity).hit[1_500:])


@every_policy
@every_capacity
def test_a_replay_repeats_exactly(trace: Trace, policy: str, capacity: Capacity) -> None:
    first, second = replay(trace, policy, capacity), replay(trace, policy, capacity)
    np.testing.assert_array_equal(first.hit, second.hit)
    np.testing.assert_array_equal(first.counts, second.counts)


@every_policy
@pytest.mark.parametrize("objects", [1, 2, 5, 20, 80, 200])
def test_no_policy_hits_more_than_the_bounds_with_objects(trace: Trace, policy: str, objects: int) -> None:
    capacity = Capacity(objects, "objects")
    bound = "min-bypass" if policy in MAY_REFUSE else "belady"
    assert replay(trace, policy, capacity).hit.sum() <= replay(trace, bound, capacity).hit.sum()


@pytest.mark.parametrize("policy", POLICIES)  # a learned one may refuse what is repeated
def test_one_object_serves_immediate_repetitions_only(trace: Trace, policy: str) -> None:
    repeated = np.concatenate([[False], trace.key[1:] == trace.key[:-1]])
    hit = replay(trace, policy, Capacity(1, "objects")).hit
    if policy in MAY_REFUSE:
        assert hit.sum() >= repeated.sum()
    else:
        np.testing.assert_array_equal(hit, repeated)


@pytest.mark.parametrize(("policy", "unit"), HOLDS_ALL)
def test_a_cache_for_all_misses_first_requests_only(constant_sizes: Trace, policy: str, unit: str) -> None:
    trace = constant_sizes
    _, first = np.unique(trace.key, return_index=True)
    limit = first.size if unit == "objects" else int(trace.size_bytes[first].sum())
    outcome = replay(trace, policy, Capacity(limit, "objects" if unit == "objects" else "bytes"), ttl_s=np.inf)
    assert np.flatnonzero(~outcome.hit).tolist() == np.sort(first).tolist()
    assert outcome.whole.evictions == 0
    assert np.isnan(outcome.whole.mean_eviction_age_requests)


@every_policy
def test_an_object_larger_than_the_cache_is_refused_and_evicts_nobody(
    make_trace: Callable[..., Trace], policy: str
) -> None:
    outcome = replay(make_trace([0, 1, 0, 1], [10, 11, 10, 11]), policy, Capacity(10, "bytes"))
    done = outcome.whole
    if policy != "adapt-size":  # it may refuse the smaller one too
        assert outcome.hit.tolist() == [False, False, True, False]
        assert (done.rejections, done.resident_charge) == (2, 10)
    assert not outcome.hit[[1, 3]].any()
    assert done.evictions == 0


@every_policy
def test_a_copy_serves_until_its_time_is_over_and_one_of_no_lifetime_is_not_stored(
    make_trace: Callable[..., Trace], policy: str
) -> None:
    """One request a second: a copy stored at 0 for 2 s serves at 1, not at 2; sliding lives are renewed by hits."""
    trace = make_trace([0, 0, 0, 0])
    hit = replay(trace, policy, Capacity(5, "objects"), ttl_s=2.0).hit.tolist()
    assert hit == ([False, True, True, True] if policy == "sliding-ttl" else [False, True, False, True])
    never = replay(trace, policy, Capacity(5, "objects"), ttl_s=0.0)
    assert not never.hit.any()
    assert (never.whole.rejections, never.whole.admissions) == (4, 0)


@every_policy
def test_an_empty_trace_has_an_outcome(make_trace: Callable[..., Trace], policy: str) -> None:
    outcome = replay(make_trace([]), policy, Capacity(1, "objects"))
    assert outcome.hit.size == outcome.whole.admissions == outcome.whole.resident_objects == 0
