"""Decisions to learn from: the worth of a candidate, where decisions begin and end, and what they may know."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cachesim.capacity import Capacity
from cachesim.eviction.caches import Caches, build_stream, create_caches, replay_until
from cachesim.eviction.decisions import Decisions, Oracle, blind_oracle, build_oracle, oldest_first
from cachesim.eviction.scorer import Scorer
from cachesim.features.table import FEATURES
from cachesim.objective import request_values
from cachesim.oracle import NEVER
from cachesim.traffic.energy import energy_trace
from schemas.errors import GateError
from schemas.trace import Trace

CAPACITIES = [Capacity(60, "objects"), Capacity(1_500_000, "bytes")]
every_capacity = pytest.mark.parametrize("capacity", CAPACITIES, ids=lambda c: f"{c.limit}-{c.unit}")
OLDEST_FIRST = oldest_first(len(FEATURES))
EVICTION_AGE_REQUESTS = 200.0


@pytest.fixture(scope="module")
def trace() -> Trace:
    return energy_trace(6_000, seed=6)


def oracle_of(span: Trace, capacity: Capacity, weights: dict[str, float] | None = None) -> Oracle:
    return build_oracle(span, capacity, request_values(span, len(span), weights or {}), EVICTION_AGE_REQUESTS)


def decisions_of(
    span: Trace, capacity: Capacity, *, batch: int = 8, weights: dict[str, float] | None = None
) -> Decisions:
    stream = build_stream(span, capacity, len(span), 8)
    oracle = oracle_of(span, capacity, weights)
    return Decisions(stream, oracle, span.n_keys, batch=batch, candidates=6, seed=3)


def positions(decisions: Decisions) -> list[int]:
    return decisions._caches.position.tolist()


def next_in_span(keys: list[int], at: int) -> int | None:
    return next((i for i in range(at + 1, len(keys)) if keys[i] == keys[at]), None)


@pytest.mark.parametrize("weights", [{}, {"load_time_ms": 1.0}, {"size_bytes": 0.5, "load_time_ms": 2.0}], ids=str)
@every_capacity
def test_a_worth_is_the_value_of_the_next_request_in_the_span_and_falls_with_its_distance(
    trace: Trace, capacity: Capacity, weights: dict[str, float]
) -> None:
    span = trace[:3_000]
    decisions = decisions_of(span, capacity, weights=weights)
    half_distance, keys = 0.03 * EVICTION_AGE_REQUESTS, span.key.tolist()
    value = np.ones(len(span))
    if weights:
        value = sum(w * getattr(span, name) / getattr(span, name).mean(dtype=np.float64) for name, w in weights.items())
    if capacity.unit == "bytes":
        value = value / (span.size_bytes / span.size_bytes.mean())
    decisions.resync(OLDEST_FIRST)
    decisions.reset()
    rng, reused = np.random.default_rng(0), 0
    for _ in range(40):
        for b, t in enumerate(positions(decisions)):
            for j, age in enumerate(decisions.rows[b, :, 0]):
                at = t - int(age)
                following = next_in_span(keys, at)
                expected = 0.0 if following is None else value[at] / (1 + (following - t) / half_distance)
                assert decisions.costs[b, j] == pytest.approx(expected, rel=1e-5, abs=1e-12)
                reused += following is not None
        decisions.step(rng.integers(0, 6, 8))
    assert 0 < reused < 40 * 8 * 6


@given(keys=st.lists(st.integers(0, 9), min_size=2, max_size=80))
def test_the_oracle_knows_the_next_request_inside_the_span_and_none_after(
    make_trace: Callable[..., Trace], keys: list[int]
) -> None:
    assume(len(set(keys)) < len(keys))
    oracle = oracle_of(make_trace(keys), Capacity(2, "objects"))
    assert [None if i == NEVER else i for i in oracle.next_request] == [next_in_span(keys, t) for t in range(len(keys))]


def test_requests_of_which_none_returns_teach_nothing(make_trace: Callable[..., Trace]) -> None:
    with pytest.raises(GateError, match="no object is requested twice"):
        oracle_of(make_trace(range(50)), Capacity(2, "objects"))


def test_decisions_end_before_rewards_would_be_cut_off_but_not_before_the_middle_of_the_span(trace: Trace) -> None:
    ends = [build_oracle(trace, CAPACITIES[0], np.ones(6_000), age).end for age in (100.0, 2_000.0, 50_000.0)]
    assert ends == [6_000 - 60, 6_000 - 1_200, 3_000]


def changed_after(trace: Trace, training: int) -> Trace:
    """The same requests up to `training`; later ones are of other keys, sizes and load times."""
    rng = np.random.default_rng(1)
    later = len(trace) - training

    def joined(column: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.concatenate([column[:training], values.astype(column.dtype)])

    return Trace(
        key=joined(trace.key, rng.integers(0, trace.n_keys, later)),
        timestamp_s=trace.timestamp_s.copy(),
        size_bytes=joined(trace.size_bytes, rng.integers(1, 100, later)),
        load_time_ms=joined(trace.load_time_ms, rng.random(later)),
        endpoint=joined(trace.endpoint, rng.integers(0, len(trace.endpoint_names), later)),
        n_keys=trace.n_keys,
        endpoint_names=trace.endpoint_names,
    )


def walk(trace: Trace, capacity: Capacity, training: int, steps: int = 60) -> list[np.ndarray]:
    span = trace[:training]
    whole = build_stream(trace, capacity, training, 8)
    stream = whole._replace(key=whole.key[:training], charge=whole.charge[:training], history=whole.history[:training])
    decisions = Decisions(stream, oracle_of(span, capacity), span.n_keys, batch=8, candidates=6, seed=3)
    seen = [np.array(decisions.resync(OLDEST_FIRST)), decisions.reset().copy()]
    for step in range(steps):
        done = decisions.step(np.full(8, step % 6))
        seen += [done.copy(), decisions.rows.copy(), decisions.costs.copy()]
    return seen


@every_capacity
def test_requests_after_the_training_span_change_no_decision(trace: Trace, capacity: Capacity) -> None:
    for first, second in zip(
        walk(trace, capacity, 3_600), walk(changed_after(trace, 3_600), capacity, 3_600), strict=True
    ):
        np.testing.assert_array_equal(first, second)


def state_at(decisions: Decisions, trace: Trace, position: int, seed: int, scorer: Scorer) -> Caches:
    """The cache of one uninterrupted replay that is stopped before the request at `position`."""
    caches = create_caches(decisions.stream, trace.n_keys, 1, seed)
    replay_until(caches, 0, decisions.stream, position, scorer, 6, np.empty(0, np.bool_))
    return caches


def used_part(caches: Caches, b: int) -> dict[str, Any]:
    n = caches.residents[b]
    fields = caches._asdict()
    whole = {name: fields[name][b] for name in ("slot_of", "residents", "used", "position", "hit_ratio", "counts")}
    return whole | {name: fields[name][b, :n] for name in ("key", "last", "admitted", "charge", "history")}


def test_resync_starts_are_the_states_that_the_replay_meets(trace: Trace) -> None:
    decisions = decisions_of(trace, CAPACITIES[0], batch=16)
    seed = int(np.random.default_rng(3).integers(2**31))  # the first that `resync` draws
    decisions.resync(OLDEST_FIRST)
    decisions.reset()
    starts = positions(decisions)
    assert len(set(starts)) > 8
    for b, position in enumerate(starts):
        expected = used_part(state_at(decisions, trace, position, seed, OLDEST_FIRST), 0)
        for name, value in used_part(decisions._caches, b).items():
            np.testing.assert_array_equal(value, expected[name], err_msg=f"{name} of start {b}")


def test_resync_returns_the_hits_of_the_replayed_span(trace: Trace) -> None:
    decisions = decisions_of(trace, CAPACITIES[0])
    found = decisions.resync(OLDEST_FIRST)
    seed = int(np.random.default_rng(3).integers(2**31))
    caches, hit = create_caches(decisions.stream, trace.n_keys, 1, seed), np.zeros(len(trace), np.bool_)
    replay_until(caches, 0, decisions.stream, len(trace), OLDEST_FIRST, 6, hit)
    np.testing.assert_array_equal(found, hit)


def test_what_was_drawn_after_a_random_state_is_drawn_again(trace: Trace) -> None:
    """Caches that draw from it are loaded from the same starting points, in other objects too."""

    def course(decisions: Decisions) -> list[np.ndarray]:
        seen = [decisions.resync(OLDEST_FIRST).copy(), decisions.reset().copy()]
        for _ in range(40):
            decisions.step(np.zeros(8, np.int64))
            seen += [decisions.rows.copy(), decisions.costs.copy()]
        return seen

    decisions, other = (decisions_of(trace, CAPACITIES[0], batch=8) for _ in range(2))
    course(decisions)
    state = json.loads(json.dumps(decisions.random_state()))
    expected = course(decisions)
    other.restore_random(state)
    for one, again in zip(expected, course(other), strict=True):
        np.testing.assert_array_equal(one, again)


@every_capacity
def test_no_decision_lies_at_or_after_the_end_and_done_caches_go_back_to_a_start(
    trace: Trace, capacity: Capacity
) -> None:
    decisions = decisions_of(trace, capacity, batch=32)
    decisions.resync(OLDEST_FIRST)
    decisions.reset()
    starts, before, ended = set(positions(decisions)), positions(decisions), 0
    for _ in range(2_500):
        done = decisions.step(np.zeros(32, np.int64))
        now = positions(decisions)
        assert max(now) < decisions.oracle.end
        assert all(p in starts if d else p > q for d, p, q in zip(done, now, before, strict=True))
        before, ended = now, ended + int(done.sum())
    assert ended >= 8


def test_starting_empty_begins_at_the_first_miss_that_does_not_fit(trace: Trace) -> None:
    decisions = decisions_of(trace, CAPACITIES[0], batch=4)
    decisions.start_empty()
    decisions.reset()
    distinct = [len(set(trace.key[: t + 1].tolist())) for t in range(500)]
    assert positions(decisions) == 4 * [distinct.index(61)]


def test_fresh_states_can_replace_the_empty_start(trace: Trace) -> None:
    decisions = decisions_of(trace, CAPACITIES[0], batch=16)
    decisions.start_empty()
    decisions.resync(OLDEST_FIRST)
    decisions.reset()
    assert len(set(positions(decisions))) > 8


@pytest.mark.parametrize("start", ["start_empty", "resync"])
def test_a_span_without_evictions_is_refused(make_trace: Callable[..., Trace], start: str) -> None:
    decisions = decisions_of(make_trace([0, 1, 2] * 400), Capacity(3, "objects"))
    with pytest.raises(GateError, match="give another capacity"):
        decisions.start_empty() if start == "start_empty" else decisions.resync(OLDEST_FIRST)


def test_reseeding_repeats_the_candidates_and_another_seed_draws_others(trace: Trace) -> None:
    decisions = decisions_of(trace, CAPACITIES[0])
    decisions.start_empty()

    def rows(seed: int) -> np.ndarray:
        decisions.reseed(seed)
        decisions.reset()
        decisions.step(np.zeros(8, np.int64))
        return decisions.rows.copy()

    first = rows(1)
    np.testing.assert_array_equal(first, rows(1))
    assert (first != rows(2)).any()


def test_the_blind_oracle_finds_nothing_worth_keeping_and_goes_on_to_the_end(trace: Trace) -> None:
    stream = build_stream(trace, CAPACITIES[0], len(trace), 8)
    decisions = Decisions(stream, blind_oracle(len(trace)), trace.n_keys, batch=8, candidates=6, seed=0)
    decisions.resync(OLDEST_FIRST)
    decisions.reset()
    latest = 0
    for _ in range(3_000):
        decisions.step(np.zeros(8, np.int64))
        assert not decisions.costs.any()
        latest = max(latest, *positions(decisions))
    assert latest > len(trace) - 20
