"""One request at a time: the same decisions as a replay, for ever, in bounded memory, and from a snapshot on."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cachesim import cache as cache_module
from cachesim.cache import Cache as AnyCache
from cachesim.cache import Snapshot
from cachesim.capacity import Capacity
from cachesim.replay import BOUNDS, LEARNED, POLICIES, Outcome
from cachesim.replay import replay as replay_with
from cachesim.traffic.energy import energy_trace
from schemas.errors import ConfigError
from schemas.trace import Trace
from tests.models.learned.nets import OPTIONS

CAUSAL = [*(policy for policy in POLICIES if policy not in BOUNDS), *LEARNED]
CAPACITIES = [Capacity(40, "objects"), Capacity(300_000, "bytes")]
every_policy = pytest.mark.parametrize("policy", CAUSAL)
every_capacity = pytest.mark.parametrize("capacity", CAPACITIES, ids=lambda c: f"{c.limit}-{c.unit}")
MIX = 0x9E3779B97F4A7C15


def Cache(policy: str, capacity: Capacity, ttl_s: float | None = None) -> AnyCache:  # noqa: N802
    return AnyCache(policy, capacity, ttl_s, **OPTIONS.get(policy, {}))


def replay(trace: Trace, policy: str, capacity: Capacity, **lives: float) -> Outcome:
    return replay_with(trace, policy, capacity, **lives, **OPTIONS.get(policy, {}))


@pytest.fixture(autouse=True)
def _few_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that codes are reused and their number is doubled a few times."""
    monkeypatch.setattr(cache_module, "FIRST_CODES", 16)
    monkeypatch.setattr(cache_module, "SWEEP", 8)


@pytest.fixture(scope="module")
def trace() -> Trace:
    return energy_trace(4_000, seed=3)


def name_of(key: int, policy: str = "") -> int:
    """A 64-bit name that has nothing to do with the order of keys, often below 0; as it is for what hashes names."""
    return key if policy == "w-tinylfu" else (key * MIX + 1) % 2**64 - 2**63


def serve(cache: AnyCache, trace: Trace, span: range) -> tuple[list[bool], list[list[int]]]:
    """Return which requests hit and whom each made leave."""
    hits, evicted = [], []
    for i in span:
        key, time_s = name_of(int(trace.key[i]), cache.policy), float(trace.timestamp_s[i])
        known = {name: getattr(trace, name)[i] for name in ("size_bytes", "load_time_ms", "endpoint")}
        hits.append(cache.access(key, time_s, **known))
        evicted.append([] if hits[-1] else cache.admit(key, time_s, **known).left)
    return hits, evicted


@every_policy
@every_capacity
@pytest.mark.parametrize("lifetime_s", [np.inf, 3_600.0], ids=["for-ever", "1-h"])
def test_single_requests_are_decided_as_in_a_replay(
    trace: Trace, policy: str, capacity: Capacity, lifetime_s: float
) -> None:
    cache = Cache(policy, capacity, ttl_s=lifetime_s)
    hits, _ = serve(cache, trace, range(len(trace)))
    outcome = replay(trace, policy, capacity, ttl_s=lifetime_s)
    assert hits == outcome.hit.tolist()
    done, counts = outcome.whole, cache.counts
    assert (counts.admissions, counts.evictions, counts.rejections) == (
        done.admissions,
        done.evictions,
        done.rejections,
    )
    assert (counts.resident_objects, counts.resident_charge) == (done.resident_objects, done.resident_charge)
    assert counts.expiries == done.expiries


@every_policy
@every_capacity
def test_the_reported_admissions_and_evictions_say_who_is_resident(
    trace: Trace, policy: str, capacity: Capacity
) -> None:
    cache, stored = Cache(policy, capacity), set()
    for i in range(1_500):
        key, size_bytes = name_of(int(trace.key[i])), int(trace.size_bytes[i])
        hit = cache.access(key)
        assert hit == (key in stored)
        if not hit:
            admission = cache.admit(key, size_bytes=size_bytes)
            assert stored >= set(admission.left)
            stored -= set(admission.left)
            stored |= {key} if admission.admitted else set()
        assert cache.resident(key) == (key in stored)
    assert sorted(cache.residents()) == sorted(stored)


@every_policy
@every_capacity
def test_a_restored_snapshot_goes_on_like_the_original(
    trace: Trace, policy: str, capacity: Capacity, tmp_path: Path
) -> None:
    """The snapshot is written and read without pickle, and restored into a new cache."""
    original, other = Cache(policy, capacity), Cache(policy, capacity)
    serve(original, trace, range(2_000))
    snapshot = original.snapshot()
    expected = serve(original, trace, range(2_000, 4_000))
    stored = io.BytesIO()
    np.savez(stored, **snapshot.arrays)
    stored.seek(0)
    arrays = dict(np.load(stored, allow_pickle=False))
    serve(other, trace, range(500))  # what it knew before is forgotten
    other.restore(Snapshot(snapshot.policy, snapshot.limit, snapshot.unit, arrays))
    assert serve(other, trace, range(2_000, 4_000)) == expected
    assert sorted(other.residents()) == sorted(original.residents())


@every_policy
def test_traces_one_after_another_are_one_trace(trace: Trace, policy: str) -> None:
    cache = Cache(policy, CAPACITIES[0], ttl_s=3_600.0)
    hits = [cache.replay(trace[start : start + 700]) for start in range(0, len(trace), 700)]
    np.testing.assert_array_equal(np.concatenate(hits), replay(trace, policy, CAPACITIES[0], ttl_s=3_600.0).hit)


@every_policy
@every_capacity
def test_memory_does_not_grow_with_the_keys_that_come(policy: str, capacity: Capacity) -> None:
    """8,000 requests, nearly all of them for new keys, after which no more state is kept than a few capacities."""
    cache, rng = Cache(policy, capacity), np.random.default_rng(1)
    for i in range(8_000):
        key = int(rng.integers(100)) if i % 10 == 0 else 1_000 + i
        if not cache.access(key):
            cache.admit(key, size_bytes=5_000)
    assert cache._key.size <= 512  # codes, for 40 or 60 objects
    assert len(cache._code) <= cache._key.size


@every_policy
def test_an_object_can_be_taken_out_at_any_time(trace: Trace, policy: str) -> None:
    """Every fifth request its object is invalidated, every seventh a resident; the books still balance."""
    cache = Cache(policy, CAPACITIES[0])
    for i in range(2_000):
        serve(cache, trace, range(i, i + 1))
        residents = cache.residents()
        gone = [name_of(int(trace.key[i]), policy)] if i % 5 == 0 else residents[: i % 7 == 0]
        for key in gone:
            assert cache.evict(key) == (key in residents)
            assert not cache.resident(key)
            assert not cache.evict(key)
    counts = cache.counts
    assert counts.removals > 100
    gone = counts.evictions + counts.removals + counts.expiries
    assert counts.resident_objects == counts.admissions - gone == len(cache.residents())
    assert 0 < counts.resident_objects <= 40


@every_policy
def test_what_was_fetched_may_arrive_late_and_twice(trace: Trace, policy: str) -> None:
    """Misses are admitted 30 requests later, some of them by two callers: no copy is stored twice."""
    cache, waiting = Cache(policy, CAPACITIES[1]), []
    for i in range(3_000):
        key, size_bytes = name_of(int(trace.key[i])), int(trace.size_bytes[i])
        if not cache.access(key):
            waiting.append((key, size_bytes))
        if len(waiting) > 30:
            arrived = waiting.pop(0)
            cache.admit(arrived[0], size_bytes=arrived[1])
        ledger = cache._state.ledger
        assert ledger.charge.sum() == cache.counts.resident_charge <= CAPACITIES[1].limit
    assert cache.counts.removals > 0
    assert len(cache.residents()) == len(set(cache.residents())) == cache.counts.resident_objects


def test_a_copy_that_is_admitted_again_is_replaced() -> None:
    cache = Cache("lru", Capacity(100, "bytes"))
    cache.admit(1, size_bytes=30)
    cache.admit(2, size_bytes=30)
    assert cache.admit(1, size_bytes=80) == cache_module.Admission(True, [2])
    assert (cache.counts.resident_charge, cache.counts.removals) == (80, 1)


@pytest.mark.parametrize("policy", BOUNDS)
def test_a_bound_cannot_be_run(policy: str) -> None:
    with pytest.raises(ConfigError, match="knows the future"):
        Cache(policy, CAPACITIES[0])


def test_an_unknown_policy_is_refused_with_all_names() -> None:
    with pytest.raises(ConfigError, match=r"unknown policy lruu; known: 2q, .*, lru, "):
        Cache("lruu", CAPACITIES[0])


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"size_bytes": 0}, "size_bytes must be >= 1, got 0"),
        ({"lifetime_s": -1.0, "size_bytes": 10}, "lifetime_s must be a number of seconds >= 0, got -1.0"),
        ({"lifetime_s": float("nan"), "size_bytes": 10}, "got nan"),
        ({}, "size_bytes is needed: the capacity is in bytes"),
    ],
)
def test_an_object_that_cannot_be_stored_is_refused_and_changes_nothing(known: dict[str, float], message: str) -> None:
    cache = Cache("lru", CAPACITIES[1])
    cache.admit(7, size_bytes=10)
    with pytest.raises(ConfigError, match=message):
        cache.admit(7, **known)  # type: ignore[arg-type]
    assert cache.residents() == [7]


def test_a_request_that_says_nonsense_is_refused() -> None:
    cache = Cache("lru", CAPACITIES[0])
    with pytest.raises(ConfigError, match="size_bytes must be >= 1, got -3"):
        cache.access(7, size_bytes=-3)


@pytest.mark.parametrize(
    "other",
    [Cache("lru", Capacity(41, "objects")), Cache("fifo", CAPACITIES[0]), Cache("lru", Capacity(40, "bytes"))],
    ids=["size", "policy", "unit"],
)
def test_a_snapshot_of_another_cache_is_refused_and_changes_nothing(other: AnyCache, make_trace: Callable) -> None:
    cache = Cache("lru", CAPACITIES[0])
    cache.admit(7)
    with pytest.raises(ConfigError, match="the snapshot is of a cache lru of 40 objects"):
        other.restore(cache.snapshot())
    assert other.residents() == []
