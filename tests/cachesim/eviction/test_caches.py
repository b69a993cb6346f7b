"""Sampled eviction: a whole replay against an independent model, and what every step of it keeps true."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.capacity import Capacity
from cachesim.eviction.caches import (
    ADMISSIONS,
    EVICTIONS,
    INCOMING,
    REJECTIONS,
    Caches,
    Stream,
    advance,
    build_stream,
    create_caches,
    remove,
    replay_until,
    resolve,
    sample,
)
from cachesim.eviction.decisions import oldest_first
from cachesim.eviction.scorer import Scorer, build_scorer
from cachesim.features.table import FEATURES, GAPS, HIT_STEP, MOMENT_FEATURES, raw_normaliser
from cachesim.replay import replay
from cachesim.structures.random_numbers import random_states
from cachesim.traffic.energy import energy_trace
from schemas.trace import Trace
from tests.models.learned.sampled import Requests, SampledEviction

GOLDEN = Path(__file__).parents[2] / "golden" / "sampled_hits.json"
requests_of_few_keys = st.lists(st.tuples(st.integers(0, 14), st.integers(1, 9)), min_size=1, max_size=150)


def stream_of(trace: Trace, capacity: Capacity) -> Stream:
    return build_stream(trace, capacity, len(trace))


def whole_replay(
    trace: Trace, stream: Stream, scorer: Scorer, candidates: int, seed: int = 0
) -> tuple[Caches, list[bool]]:
    caches, hit = create_caches(stream, trace.n_keys, 1, seed), np.zeros(len(trace), np.bool_)
    replay_until(caches, 0, stream, len(trace), scorer, candidates, hit)
    return caches, hit.tolist()


def copy_of(caches: Caches) -> Caches:
    return Caches(*(array.copy() for array in caches))


def linear_scorer(weight: dict[str, float]) -> Scorer:
    """The score is a weighted sum of raw features whose values are >= 0, and of 1000, so that it is >= 0 too."""
    first = np.array([[weight.get(feature.name, 0.0) for feature in FEATURES]], np.float32)
    bias, one = np.full(1, 1000, np.float32), np.ones((1, 1), np.float32)
    zero = np.zeros(1, np.float32)
    return build_scorer(raw_normaliser(len(FEATURES)), first, bias, one, zero, one[0], zero)


# Whole numbers and few of them, so that float32 and Python agree on which of two scores is the higher one.
WEIGHTS = [
    {"age": 1.0},
    {"time_in_cache": 1.0, "size_bytes": 2.0},
    {"gap_1": -1.0, "age": 2.0, "size_bytes": 4.0},
    {"size_bytes": -3.0, "age": 1.0},
]


def check_against_model(
    trace: Trace, requests: Requests, capacity: Capacity, candidates: int, seed: int, weight: dict[str, float]
) -> None:
    stream = build_stream(trace, capacity, len(trace), history_multiple=20)  # the model forgets nothing
    caches, hit = whole_replay(trace, stream, linear_scorer(weight), candidates, seed)
    state = int(random_states(seed, 1)[0])
    model = SampledEviction(capacity.limit, candidates, state, weight)
    assert hit == model.run(requests, capacity.unit == "bytes")
    residents = caches.residents[0]
    assert caches.key[0, :residents].tolist() == model.residents
    assert caches.charge[0, :residents].tolist() == [model.charge[key] for key in model.residents]
    assert caches.counts[0].tolist() == [model.admissions, model.evictions, model.rejections]
    assert caches.hit_ratio[0] == pytest.approx(model.hit_ratio, rel=1e-12)
    assert int(caches.random[0]) == model.state


scorers = st.sampled_from(WEIGHTS)


@given(
    requests=requests_of_few_keys,
    limit=st.integers(1, 12),
    k=st.integers(2, 16),
    seed=st.integers(0, 99),
    weight=scorers,
)
def test_a_replay_equals_a_plain_model_with_objects(
    make_trace: Callable[..., Trace], requests: Requests, limit: int, k: int, seed: int, weight: dict[str, float]
) -> None:
    keys, sizes_bytes = zip(*requests, strict=True)
    capacity = Capacity(limit, "objects")
    check_against_model(make_trace(keys, sizes_bytes), requests, capacity, k, seed, weight)


@given(
    requests=requests_of_few_keys,
    limit=st.integers(1, 50),
    k=st.integers(2, 16),
    seed=st.integers(0, 99),
    weight=scorers,
)
def test_a_replay_equals_a_plain_model_with_bytes_and_changing_sizes(
    make_trace: Callable[..., Trace], requests: Requests, limit: int, k: int, seed: int, weight: dict[str, float]
) -> None:
    keys, sizes_bytes = zip(*requests, strict=True)
    capacity = Capacity(limit, "bytes")
    check_against_model(make_trace(keys, sizes_bytes), requests, capacity, k, seed, weight)


@pytest.fixture(scope="module")
def trace() -> Trace:
    return energy_trace(8_000, seed=2)


CAPACITIES = [Capacity(60, "objects"), Capacity(1_500_000, "bytes"), Capacity(60_000, "bytes")]
every_capacity = pytest.mark.parametrize("capacity", CAPACITIES, ids=lambda c: f"{c.limit}-{c.unit}")


def check_state(caches: Caches, capacity: Capacity) -> None:
    n, (admissions, evictions, _) = caches.residents[0], caches.counts[0]
    keys = caches.key[0, :n]
    assert caches.charge[0, :n].sum() == caches.used[0] <= capacity.limit
    assert admissions - evictions == n
    assert caches.slot_of[0, keys].tolist() == list(range(n))
    assert np.count_nonzero(caches.slot_of[0] >= 0) == n
    assert (caches.admitted[0, :n] <= caches.last[0, :n]).all()
    assert (caches.last[0, :n] <= caches.position[0]).all()


@every_capacity
def test_the_books_balance_after_every_decision(trace: Trace, capacity: Capacity) -> None:
    stream = stream_of(trace, capacity)
    caches, hit = create_caches(stream, trace.n_keys, 1, 0), np.zeros(len(trace), np.bool_)
    candidates, rng = np.empty(8, np.int64), np.random.default_rng(0)
    while advance(caches, 0, stream, len(trace), hit):
        check_state(caches, capacity)
        sample(caches, 0, candidates)
        assert candidates[0] == INCOMING
        assert (candidates[1:] >= 0).all()
        assert (candidates[1:] < caches.residents[0]).all()
        resolve(caches, 0, stream, rng.choice(candidates))
        check_state(caches, capacity)
    assert caches.position[0] == len(trace)
    assert (~hit).sum() == caches.counts[0, ADMISSIONS] + caches.counts[0, REJECTIONS]
    np.testing.assert_array_equal(
        caches.history[0, : caches.residents[0]], stream.history[caches.last[0, : caches.residents[0]]]
    )


def test_an_object_larger_than_the_cache_is_refused_without_a_decision(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 1, 0, 1], [10, 11, 10, 11])
    stream = stream_of(trace, Capacity(10, "bytes"))
    caches, hit = create_caches(stream, 2, 1, 0), np.zeros(4, np.bool_)
    assert not advance(caches, 0, stream, 4, hit)
    assert hit.tolist() == [False, False, True, False]
    assert caches.counts[0].tolist() == [1, 0, 2]


def test_one_admission_takes_as_many_evictions_as_its_bytes_need(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 1, 2, 3], [3, 3, 3, 8])
    stream = stream_of(trace, Capacity(9, "bytes"))
    caches, hit = whole_replay(trace, stream, oldest_first(len(FEATURES)), 4)
    assert caches.counts[0, [ADMISSIONS, EVICTIONS]].tolist() == [4, 3]
    assert caches.key[0, 0] == 3
    assert caches.hit_ratio[0] == 0
    assert not any(hit)


def test_a_request_counts_once_in_the_hit_ratio_however_many_evictions_it_needs(
    make_trace: Callable[..., Trace],
) -> None:
    trace = make_trace([0, 0, 0, 1, 2, 3], [1, 1, 1, 1, 1, 3])
    caches, _ = whole_replay(trace, stream_of(trace, Capacity(3, "bytes")), oldest_first(len(FEATURES)), 4)
    hits = 0.0
    for hit in (0, 1, 1, 0, 0, 0):
        hits += HIT_STEP * (hit - hits)
    assert caches.hit_ratio[0] == pytest.approx(hits, rel=1e-12)


def test_refusing_the_incoming_object_leaves_the_residents_alone(trace: Trace) -> None:
    stream = stream_of(trace, CAPACITIES[0])
    caches = create_caches(stream, trace.n_keys, 1, 0)
    assert advance(caches, 0, stream, len(trace), np.empty(0, np.bool_))
    before = copy_of(caches)
    resolve(caches, 0, stream, INCOMING)
    np.testing.assert_array_equal(caches.key, before.key)
    assert caches.position[0] == before.position[0] + 1
    assert caches.counts[0, REJECTIONS] == before.counts[0, REJECTIONS] + 1


@pytest.mark.parametrize("residents", [1, 2, 5, 7])
def test_with_few_residents_every_one_is_a_candidate(make_trace: Callable[..., Trace], residents: int) -> None:
    trace = make_trace(list(range(residents + 1)))
    stream = stream_of(trace, Capacity(residents, "objects"))
    caches, candidates = create_caches(stream, trace.n_keys, 1, 0), np.empty(8, np.int64)
    assert advance(caches, 0, stream, len(trace), np.empty(0, np.bool_))
    sample(caches, 0, candidates)
    assert set(candidates.tolist()) == {INCOMING, *range(residents)}


def test_residents_are_sampled_uniformly(make_trace: Callable[..., Trace]) -> None:
    """Chi-square of 99 degrees of freedom over 150,000 draws: above 149 in one of a thousand fair generators."""
    trace = make_trace(list(range(101)))
    stream = stream_of(trace, Capacity(100, "objects"))
    caches, candidates = create_caches(stream, trace.n_keys, 1, 5), np.empty(16, np.int64)
    assert advance(caches, 0, stream, len(trace), np.empty(0, np.bool_))
    drawn = np.zeros((10_000, 15), np.int64)
    for i in range(len(drawn)):
        sample(caches, 0, candidates)
        drawn[i] = candidates[1:]
    assert chi_square(drawn, 100) < 149
    assert chi_square(10 * (drawn[:, 0] % 10) + drawn[:, 1] % 10, 100) < 149  # neighbours are independent


def chi_square(drawn: np.ndarray, kinds: int) -> float:
    counts, expected = np.bincount(drawn.ravel(), minlength=kinds), drawn.size / kinds
    return float(((counts - expected) ** 2 / expected).sum())


@every_capacity
@pytest.mark.parametrize("stop", [0, 1, 3_333, 8_000])
def test_a_replay_in_two_parts_equals_one(trace: Trace, capacity: Capacity, stop: int) -> None:
    stream, scorer = stream_of(trace, capacity), oldest_first(len(FEATURES))
    whole, hit = whole_replay(trace, stream, scorer, 8)
    parts, hit_of_parts = create_caches(stream, trace.n_keys, 1, 0), np.zeros(len(trace), np.bool_)
    replay_until(parts, 0, stream, stop, scorer, 8, hit_of_parts)
    assert parts.position[0] == stop
    parts = copy_of(parts)
    replay_until(parts, 0, stream, len(trace), scorer, 8, hit_of_parts)
    assert hit_of_parts.tolist() == hit
    for one, two in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_removed_resident_is_gone_and_counts_as_no_eviction(trace: Trace) -> None:
    stream = stream_of(trace, CAPACITIES[2])
    caches, _ = whole_replay(trace, stream, oldest_first(len(FEATURES)), 8)
    rng, before = np.random.default_rng(0), caches.counts.copy()
    while caches.residents[0] > 0:
        slot = int(rng.integers(caches.residents[0]))
        key, gone = int(caches.key[0, slot]), caches.charge[0, slot]
        left = caches.used[0] - gone
        remove(caches, 0, slot)
        n = caches.residents[0]
        assert caches.slot_of[0, key] == -1
        assert caches.used[0] == left == caches.charge[0, :n].sum()
        assert caches.slot_of[0, caches.key[0, :n]].tolist() == list(range(n))
    np.testing.assert_array_equal(caches.counts, before)


@pytest.mark.parametrize("capacity", [Capacity(1, "objects"), Capacity(15, "objects"), Capacity(300_000, "bytes")])
def test_dropping_the_oldest_of_all_residents_is_lru(capacity: Capacity) -> None:
    trace = energy_trace(4_000, seed=4)
    stream = stream_of(trace, capacity)
    most_residents = create_caches(stream, trace.n_keys, 1, 0).key.shape[1]
    caches, hit = whole_replay(trace, stream, oldest_first(len(FEATURES)), 1 + most_residents)
    outcome = replay(trace, "lru", capacity)
    assert hit == outcome.hit.tolist()
    done = outcome.whole
    assert caches.counts[0].tolist() == [done.admissions, done.evictions, done.rejections]


def test_sampling_16_of_many_comes_close_to_lru() -> None:
    trace, capacity = energy_trace(20_000, seed=5), Capacity(400, "objects")
    _, hit = whole_replay(trace, stream_of(trace, capacity), oldest_first(len(FEATURES)), 16)
    assert np.mean(hit) == pytest.approx(replay(trace, "lru", capacity).hit.mean(), abs=0.01)


def test_caches_of_a_batch_do_not_touch_each_other(trace: Trace) -> None:
    stream, scorer = stream_of(trace, CAPACITIES[1]), oldest_first(len(FEATURES))
    batch, unmarked = create_caches(stream, trace.n_keys, 3, 9), np.empty(0, np.bool_)
    for b, stop in enumerate((8_000, 100, 4_000)):
        replay_until(batch, b, stream, stop, scorer, 8, unmarked)
    for b, stop in enumerate((8_000, 100, 4_000)):
        alone = create_caches(stream, trace.n_keys, 1, 9)
        alone.random[0] = random_states(9, 3)[b]
        replay_until(alone, 0, stream, stop, scorer, 8, unmarked)
        for together, single in zip(batch, alone, strict=True):
            np.testing.assert_array_equal(together[b], single[0])


def test_a_missing_gap_is_told_from_a_gap_of_one(make_trace: Callable[..., Trace]) -> None:
    stream = stream_of(make_trace([0, 0, 1]), Capacity(1, "objects"))
    assert stream.history[:, :GAPS].tolist() == [[-1, -1, -1, -1], [1, -1, -1, -1], [-1, -1, -1, -1]]
    assert stream.history.shape[1] == len(FEATURES) - MOMENT_FEATURES


def golden_counts() -> dict[str, Any]:
    """Hits, admissions, evictions, rejections of the energy trace for three scorers."""
    trace = energy_trace(20_000, seed=11)
    found: dict[str, Any] = {}
    for capacity in (Capacity(50, "objects"), Capacity(500, "objects"), Capacity(3_000_000, "bytes")):
        stream = stream_of(trace, capacity)
        for weight in WEIGHTS[:3]:
            caches, hit = whole_replay(trace, stream, linear_scorer(weight), 16, seed=1)
            name = f"{capacity.limit} {capacity.unit}, {' '.join(weight)}"
            found[name] = [sum(hit), *caches.counts[0].tolist()]
    return found


def test_the_counts_are_golden() -> None:
    assert golden_counts() == json.loads(GOLDEN.read_text())
