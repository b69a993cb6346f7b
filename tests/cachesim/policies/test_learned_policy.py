"""The learned policy beside the others: the decisions of the evaluation, LRU where it must be, and its network."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.cache import Cache
from cachesim.capacity import Capacity
from cachesim.eviction.caches import build_stream, count, create_caches, replay_until
from cachesim.eviction.decisions import oldest_first
from cachesim.eviction.scorer import Scorer
from cachesim.features.history import missing_values
from cachesim.features.table import FEATURES, HISTORY_WIDTH
from cachesim.policies import learned
from cachesim.policies.parts.ledger import ADMISSIONS, EVICTIONS, REJECTIONS, RESIDENTS, USED
from cachesim.replay import begin, replay
from cachesim.requests import chunks
from cachesim.traffic.energy import energy_trace
from schemas.errors import ConfigError
from schemas.trace import Trace
from tests.models.learned.nets import options, random_net

TRAINING = 4_000  # length of the training span
CAPACITIES = [Capacity(60, "objects"), Capacity(1_500_000, "bytes"), Capacity(60_000, "bytes")]
COLUMNS = ("price", "age")
every_capacity = pytest.mark.parametrize("capacity", CAPACITIES, ids=lambda c: f"{c.limit}-{c.unit}")
keys = st.integers(0, 14)
requests_of_few_keys = st.lists(
    st.tuples(keys, st.integers(1, 9), st.sampled_from([0.0, 1.0, 3.0, 10.0, 40.0, float("inf")])),
    min_size=1,
    max_size=150,
)


@pytest.fixture(scope="module")
def trace() -> Trace:
    """8,000 requests to 7 endpoints; every third load time and some values of two columns are unknown."""
    rng, plain = np.random.default_rng(8), energy_trace(8_000, seed=2)
    load_time_ms, columns = plain.load_time_ms.copy(), rng.normal(size=(8_000, 2)).astype(np.float32)
    load_time_ms[::3] = np.nan
    columns[rng.random((8_000, 2)) < 0.2] = np.nan
    return dataclasses.replace(plain, load_time_ms=load_time_ms, columns=columns, column_names=COLUMNS)


def options_of(trace: Trace, capacity: Capacity, scorer: Scorer, **others: Any) -> dict[str, Any]:
    """Options as training leaves them."""
    span = trace[:TRAINING]
    return options(capacity.mean_objects(span), scorer, missing=missing_values(span), **others)


@every_capacity
@pytest.mark.parametrize("columns", [True, False], ids=["columns", "no-columns"])
@pytest.mark.parametrize(("untrained", "candidates", "seed"), [(True, 16, 0), (True, 5, 3), (False, 8, 1)])
def test_a_replay_decides_as_the_evaluation_does(
    trace: Trace, capacity: Capacity, columns: bool, untrained: bool, candidates: int, seed: int
) -> None:
    if not columns:
        trace = dataclasses.replace(trace, column_names=())
    names, n_features = trace.column_names, len(FEATURES) + len(trace.column_names)
    scorer = random_net(60.0, seed, names) if untrained else oldest_first(n_features)
    stride = 2.5 if untrained and seed else 1.0  # as if the keys were a sample
    stream = build_stream(trace, capacity, TRAINING, history_multiple=3, key_sample=1 / stride)
    caches, hit = create_caches(stream, trace.n_keys, 1, seed), np.zeros(len(trace), np.bool_)
    replay_until(caches, 0, stream, len(trace), scorer, candidates, hit)
    given_options = options_of(trace, capacity, scorer, candidates=candidates, history_multiple=3, stride=stride)
    outcome = replay(trace, "learned", capacity, seed=seed, **given_options)
    np.testing.assert_array_equal(outcome.hit, hit)
    done = outcome.whole
    assert [done.admissions, done.evictions, done.rejections] == caches.counts[0].tolist()
    assert (done.resident_objects, done.resident_charge) == (caches.residents[0], caches.used[0])
    assert (done.rejections > 0) == (untrained or capacity.limit == 60_000)  # some are larger than 60,000 bytes


@every_capacity
@pytest.mark.parametrize("seed", [0, 1])
def test_a_replay_leaves_the_caches_as_the_evaluation_does(trace: Trace, capacity: Capacity, seed: int) -> None:
    scorer, hit = random_net(60.0, seed, COLUMNS), np.zeros(len(trace), np.bool_)
    stream = build_stream(trace, capacity, TRAINING)
    whole = create_caches(stream, trace.n_keys, 1, 0)
    replay_until(whole, 0, stream, len(trace), scorer, 16, hit)
    state = begin(trace, "learned", capacity, **options_of(trace, capacity, scorer, candidates=16))
    for span, requests in chunks(trace, capacity):
        learned.replay(state, requests, hit[span])
    if not hit[-1]:  # else it is counted already
        count(state.caches, 0, False)
    n = whole.residents[0]
    for name in ("slot_of", "residents", "used", "position", "hit_ratio", "random"):
        np.testing.assert_array_equal(getattr(state.caches, name), getattr(whole, name), err_msg=name)
    for name in ("key", "last", "admitted", "charge", "history"):
        np.testing.assert_array_equal(getattr(state.caches, name)[0, :n], getattr(whole, name)[0, :n], err_msg=name)
    assert state.ledger.counts[[ADMISSIONS, EVICTIONS, REJECTIONS]].tolist() == whole.counts[0].tolist()


@every_capacity
def test_single_requests_with_all_that_is_known_decide_as_the_evaluation_does(trace: Trace, capacity: Capacity) -> None:
    given_options = options_of(trace, capacity, random_net(60.0, 2, COLUMNS), n_endpoints=len(trace.endpoint_names))
    cache, hits = Cache("learned", capacity, **given_options), []
    for i in range(len(trace)):
        names = ("size_bytes", "load_time_ms", "endpoint", "columns")
        known = {name: getattr(trace, name)[i] for name in names}
        hits.append(cache.access(int(trace.key[i]), **known))
        if not hits[-1]:
            cache.admit(int(trace.key[i]), **known)
    assert hits == replay(trace, "learned", capacity, **given_options).hit.tolist()


@pytest.mark.parametrize("unit", ["objects", "bytes"])
@given(rows=requests_of_few_keys, limit=st.integers(1, 40))
def test_dropping_the_oldest_of_all_residents_is_lru(
    make_trace: Callable[..., Trace], unit: Any, rows: list[tuple[int, int, float]], limit: int
) -> None:
    """Hits, and all that the ledger counts, the ages at eviction among them; copies expire, but only where room is."""
    trace, capacity = make_trace([r[0] for r in rows], [r[1] for r in rows]), Capacity(limit, unit)
    whole = options(float(limit), oldest_first(len(FEATURES)), candidates=1 + 15)
    ours, lru = replay(trace, "learned", capacity, **whole), replay(trace, "lru", capacity)
    assert ours.hit.tolist() == lru.hit.tolist()
    np.testing.assert_array_equal(ours.counts, lru.counts)
    roomy, ttl_s = Capacity(1_000, unit), np.array([r[2] for r in rows])
    hits = [replay(trace, p, roomy, ttl_s=ttl_s, **o).hit.tolist() for p, o in (("learned", whole), ("lru", {}))]
    assert hits[0] == hits[1]


@pytest.mark.parametrize("unit", ["objects", "bytes"])
@given(rows=requests_of_few_keys, limit=st.integers(1, 40), seed=st.integers(0, 9))
def test_no_copy_that_can_hit_is_evicted_while_an_expired_one_stays(
    unit: Any, rows: list[tuple[int, int, float]], limit: int, seed: int
) -> None:
    """Whatever the network says; all residents are candidates."""
    cache = Cache("learned", Capacity(limit, unit), **options(float(limit), random_net(40.0, seed), candidates=1 + 15))
    expires_s: dict[int, float] = {}
    for time_s, (key, size_bytes, lifetime_s) in enumerate(rows):
        if cache.access(key, time_s, size_bytes=size_bytes):
            assert time_s < expires_s[key]
            continue
        admission = cache.admit(key, time_s, size_bytes=size_bytes, lifetime_s=lifetime_s)
        alive = [left for left in admission.left if left != key and time_s < expires_s[left]]
        if admission.admitted:
            expires_s[key] = time_s + lifetime_s
        assert not alive or all(time_s < expires_s[other] for other in cache.residents())


steps = st.lists(
    st.tuples(st.sampled_from(["access", "admit", "evict"]), st.integers(0, 60), st.integers(1, 9)), max_size=200
)


@given(steps=steps, limit=st.integers(1, 40), unit=st.sampled_from(["objects", "bytes"]))
def test_ledger_slots_and_history_agree_whatever_is_done(
    steps: list[tuple[str, int, int]], limit: int, unit: Any
) -> None:
    """Objects are also admitted late, twice, without a request, with short lives, and taken out."""
    cache = Cache("learned", Capacity(limit, unit), ttl_s=20.0, **options(4.0, history_multiple=1))
    for time_s, (step, key, size_bytes) in enumerate(steps):
        if step == "access":
            cache.access(key, time_s)
        elif step == "admit":
            cache.admit(key, time_s, size_bytes=size_bytes)
        else:
            cache.evict(key)
    ledger, caches, history = cache._state.ledger, cache._state.caches, cache._state.history
    np.testing.assert_array_equal(ledger.charge > 0, caches.slot_of[0] >= 0)
    residents = int(caches.residents[0])
    assert ledger.counts[RESIDENTS] == residents
    assert ledger.counts[USED] == caches.used[0] == caches.charge[0, :residents].sum() <= limit
    assert sorted(cache._key[caches.key[0, :residents]]) == sorted(cache.residents())
    assert np.count_nonzero(history.last >= 0) == history.size[0] <= 8  # (1 + 1) * 4


def stored_row(cache: Cache, key: int) -> dict[str, float]:
    """The history row of a resident by what it says of the object itself."""
    caches = cache._state.caches
    row = caches.history[0, caches.slot_of[0, cache._code[key]]].tolist()
    names = [*(feature.name for feature in FEATURES[-HISTORY_WIDTH:]), *COLUMNS]
    return {name: row[names.index(name)] for name in ("gap_1", "size_bytes", "load_time_ms", *COLUMNS)}


def test_a_hit_changes_what_it_says_and_leaves_the_rest_of_the_copy() -> None:
    net = random_net(5.0, 0, COLUMNS)
    means = np.array([77.0, 8.0, 9.0], np.float32)
    cache = Cache("learned", Capacity(5, "objects"), **options(5.0, net, missing=means))
    cache.access(1)
    cache.admit(1, size_bytes=300, load_time_ms=40.0, columns=[1.5, np.nan])
    stored = {"gap_1": -1.0, "size_bytes": 300.0, "load_time_ms": 40.0, "price": 1.5, "age": 9.0}
    assert stored_row(cache, 1) == stored
    assert cache.access(1)
    assert stored_row(cache, 1) == {**stored, "gap_1": 1.0}
    assert cache.access(1, load_time_ms=50.0, columns=[np.nan, 2.5])
    assert stored_row(cache, 1) == {**stored, "gap_1": 1.0, "load_time_ms": 50.0, "age": 2.5}
    assert cache.access(1, size_bytes=301)  # as a replay says it: what is not known then is the training mean
    assert stored_row(cache, 1) == {"gap_1": 1.0, "size_bytes": 301.0, "load_time_ms": 77.0, "price": 8.0, "age": 9.0}


def test_an_object_that_arrives_unasked_has_the_row_of_a_first_request() -> None:
    cache = Cache("learned", Capacity(5, "objects"), **options(5.0, random_net(5.0, 0, COLUMNS)))
    cache.admit(1, size_bytes=300)
    assert stored_row(cache, 1)["gap_1"] == -1
    assert cache._state.history.size[0] == 1
    cache.access(2)
    assert cache.access(1)
    assert stored_row(cache, 1)["gap_1"] == 1


def test_endpoints_that_training_did_not_know_share_their_averages_and_disturb_no_other() -> None:
    cache = Cache("learned", Capacity(5, "objects"), **options(5.0, n_endpoints=2))
    history = cache._state.history
    before = history.endpoint_new.copy()
    for key, endpoint in enumerate((2, 3, 1_000_000, -1)):
        cache.access(key, endpoint=endpoint)
        cache.admit(key, endpoint=endpoint)
    assert history.endpoint_new[:2].tolist() == before[:2].tolist()
    assert history.endpoint_new[2] == pytest.approx(1 - 0.5 * (255 / 256) ** 4)


def test_another_network_takes_over_a_snapshot_and_decides_from_then_on(trace: Trace) -> None:
    """The snapshot holds no network, and restoring it leaves both networks as they were."""
    capacity, endpoints = Capacity(60, "objects"), len(trace.endpoint_names)
    nets = [random_net(60.0, seed, COLUMNS) for seed in (0, 1)]
    weights = [net.first.copy() for net in nets]
    first, second, same = (
        Cache("learned", capacity, **options_of(trace, capacity, net, n_endpoints=endpoints))
        for net in (*nets, nets[0])
    )
    first.replay(trace[:4_000])
    snapshot = first.snapshot()
    second.restore(snapshot)
    same.restore(snapshot)
    assert sorted(second.residents()) == sorted(first.residents())
    expected = first.replay(trace[4_000:])
    np.testing.assert_array_equal(same.replay(trace[4_000:]), expected)
    assert (second.replay(trace[4_000:]) != expected).any()
    for net, weight in zip(nets, weights, strict=True):
        np.testing.assert_array_equal(net.first, weight)
    assert weights[0].shape not in [array.shape for array in snapshot.arrays.values()]


def test_a_snapshot_of_a_network_of_other_features_is_refused() -> None:
    capacity = Capacity(5, "objects")
    cache = Cache("learned", capacity, **options(5.0))
    other = Cache("learned", capacity, **options(5.0, random_net(5.0, 0, COLUMNS)))
    with pytest.raises(ConfigError, match="the snapshot is of a cache learned of 5 objects"):
        other.restore(cache.snapshot())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scorer": None, "missing": None}, "policy learned needs options .*: scorer, missing not given"),
        ({"capacity_objects": None}, "capacity_objects not given"),
        ({"capacity_objects": 0.5}, "capacity_objects must be a number >= 1, got 0.5"),
        ({"capacity_objects": float("nan")}, "capacity_objects must be a number >= 1, got nan"),
        ({"missing": np.zeros(3)}, r"takes 0 feature columns, so missing must have the shape \(1,\).* got \(3,\)"),
        ({"candidates": 1}, "candidates must be >= 2, got 1"),
        ({"n_endpoints": 0}, "n_endpoints must be >= 1, got 0"),
        ({"history_multiple": 0}, "history_multiple must be >= 1, got 0"),
        ({"stride": float("nan")}, "stride must be >= 1, got nan"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_options_that_cannot_work_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Cache("learned", Capacity(5, "objects"), **{**options(5.0), **change})


def test_a_replay_without_a_network_is_refused(trace: Trace) -> None:
    with pytest.raises(ConfigError, match=r"policy learned needs options .*: scorer, capacity_objects, missing not"):
        replay(dataclasses.replace(trace, column_names=()), "learned", Capacity(5, "objects"))


def test_a_trace_of_other_columns_than_the_network_reads_is_refused(trace: Trace) -> None:
    plain = Cache("learned", Capacity(5, "objects"), **options(5.0))
    with pytest.raises(ConfigError, match="the trace has 2 feature columns, the policy reads 0"):
        plain.replay(trace)
    with pytest.raises(ConfigError, match="the trace has 2 feature columns, the policy reads 0"):
        replay(trace, "learned", Capacity(5, "objects"), **options(5.0))


def test_residents_are_remembered_beyond_the_bounded_history(make_trace: Callable[..., Trace]) -> None:
    """A hit on an object whose history was forgotten starts it anew; new objects are refused by this network."""
    keeps_all = oldest_first(len(FEATURES))
    keeps_all.first[0, 0] = 0.0  # all scores are equal: the incoming object goes
    trace = make_trace([0, 1, *range(2, 30), 0, 1])
    outcome = replay(trace, "learned", Capacity(2, "objects"), **options(2.0, keeps_all, history_multiple=1))
    assert np.flatnonzero(outcome.hit).tolist() == [30, 31]
    assert (outcome.whole.admissions, outcome.whole.rejections) == (2, 28)
