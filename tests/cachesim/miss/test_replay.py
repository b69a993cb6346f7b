"""Decisions on misses: they are replays of the policy itself, and what is noted of them agrees with plain models."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.analysis.metrics import stale_hits
from cachesim.capacity import Capacity
from cachesim.features.table import raw_normaliser
from cachesim.miss.decider import Decider, always, build_decider, scores_of
from cachesim.miss.problem import Setting, admission_setting, ttl_setting
from cachesim.miss.replay import Future, Steps, fit_decisions, replay_decided, seen_by
from cachesim.miss.ttl_rewards import best_fixed, visits_of
from cachesim.policies.parts.ledger import LIMIT, USED
from cachesim.replay import replay
from cachesim.traffic.energy import energy_trace
from schemas.errors import ConfigError, GateError, TraceError
from schemas.trace import Trace
from tests.models.learned.misses import DecidedLru, worth

LADDER_S = (0.0, 60.0, 3_600.0, float("inf"))
POLICIES = ("lru", "s3-fifo")


@pytest.fixture(scope="module")
def trace() -> Trace:
    return energy_trace(4_000, seed=6)


def admission(trace: Trace, eviction: str = "lru", capacity: Capacity | None = None) -> Setting:
    return admission_setting(
        trace, len(trace), capacity or Capacity(60, "objects"), np.ones(len(trace)), eviction, history_multiple=3
    )


def ttl(trace: Trace, eviction: str = "lru", capacity: Capacity | None = None) -> Setting:
    return ttl_setting(trace, len(trace), capacity or Capacity(60, "objects"), np.ones(len(trace)), eviction, LADDER_S)


def constant(setting: Setting, action: int) -> Decider:
    n_features = len(setting.features)
    return always(action, n_features, setting.ladder_s.size, raw_normaliser(n_features))


def drawn(setting: Setting, seed: int = 0) -> Decider:
    """A network of random weights for features of usual sizes: it takes different actions."""
    rng, f = np.random.default_rng(seed), len(setting.features)
    rows = Future(setting).contexts(constant(setting, setting.ladder_s.size - 1), 1.0, 500, 0).rows
    shapes = [(8, f), (8,), (8, 8), (8,), (setting.ladder_s.size, 8), (setting.ladder_s.size,)]
    return build_decider(fit_decisions(rows, setting), *(rng.normal(size=shape) for shape in shapes))


@pytest.mark.parametrize("eviction", POLICIES)
@pytest.mark.parametrize("capacity", [Capacity(60, "objects"), Capacity(700_000, "bytes")], ids=lambda c: c.unit)
def test_admitting_everything_is_the_policy_itself(trace: Trace, eviction: str, capacity: Capacity) -> None:
    setting = admission(trace, eviction, capacity)
    ours = replay_decided(setting, constant(setting, 1), seed=3).hit
    np.testing.assert_array_equal(ours, replay(trace, eviction, capacity, seed=3).hit)
    assert ours.any()


@pytest.mark.parametrize("eviction", POLICIES)
@pytest.mark.parametrize("rung", range(len(LADDER_S)))
def test_one_time_to_live_for_all_is_a_replay_with_it(trace: Trace, eviction: str, rung: int) -> None:
    setting = ttl(trace, eviction)
    ours = replay_decided(setting, constant(setting, rung)).hit
    theirs = replay(trace, eviction, setting.capacity, ttl_s=LADDER_S[rung]).hit
    np.testing.assert_array_equal(ours, theirs)


def test_refusing_everything_keeps_what_came_first(trace: Trace) -> None:
    setting = admission(trace)
    hit = replay_decided(setting, constant(setting, 0)).hit
    _, first = np.unique(trace.key, return_index=True)
    kept = trace.key[np.sort(first)[:60]]
    expected = np.isin(trace.key, kept)
    expected[first] = False
    np.testing.assert_array_equal(hit, expected)


@pytest.mark.parametrize("make", [admission, ttl])
def test_the_lifetimes_that_a_network_chose_replay_to_the_same_hits(trace: Trace, make) -> None:  # type: ignore[no-untyped-def]
    setting = make(trace)
    ours = replay_decided(setting, drawn(setting))
    missed = ours.lifetime_s[~ours.hit]
    assert np.unique(missed).size > 1
    theirs = replay(trace, setting.eviction, setting.capacity, ttl_s=ours.lifetime_s)
    np.testing.assert_array_equal(ours.hit, theirs.hit)


@pytest.mark.parametrize("make", [admission, ttl])
@given(keys=st.lists(st.integers(0, 12), min_size=1, max_size=80), limit=st.integers(1, 6), seed=st.integers(0, 99))
def test_steps_agree_with_a_plain_cache(make, keys: list[int], limit: int, seed: int) -> None:  # type: ignore[no-untyped-def]
    n, rng = len(keys), np.random.default_rng(seed)
    trace = Trace(
        key=np.array(keys, np.int64),
        timestamp_s=100.0 * np.arange(n),
        size_bytes=np.ones(n, np.int64),
        load_time_ms=np.full(n, np.nan, np.float32),
        endpoint=np.zeros(n, np.int32),
        n_keys=13,
        version=np.arange(n) // 9,
    )
    setting = make(trace, capacity=Capacity(limit, "objects"))
    actions = rng.integers(0, setting.ladder_s.size, n)
    model = DecidedLru(trace, limit, make is ttl, lambda i: float(setting.ladder_s[actions[i]]))
    hit = model.run()
    try:
        steps = Steps(setting)
    except GateError:
        assert len(set(keys)) <= limit or len(set(keys)) == n  # nothing leaves, or nothing returns
        return
    rewards, decided, going = [], [], steps.reset(seed=0, position=0)
    while going:
        decided.append(steps._at)
        rewards.append(steps.step(int(actions[steps._at])))
        running = steps._running.state.ledger.counts
        assert running[USED] <= running[LIMIT]
        going = steps.advance()
    assert decided == [i for i in model.decided if i < steps.future.oracle.end]
    if make is ttl:
        assert steps._running.hit.tolist() == hit
        return
    half, ones = steps.future.oracle.half_distance, [1.0] * n
    for i, left, reward in zip(decided, model.left, rewards, strict=False):
        kept = worth(trace, i, i, half, ones) if actions[i] else 0.0
        assert reward == pytest.approx(kept - sum(worth(trace, i, at, half, ones) for at in left))


def test_rewards_of_times_to_live_sum_to_what_was_gained_over_the_best_fixed_ones(trace: Trace) -> None:
    """In a cache that never evicts; the shaping telescopes."""
    capacity, values = Capacity(10_000, "objects"), np.random.default_rng(0).random(len(trace))
    setting = ttl_setting(trace, len(trace), capacity, values, "lru", LADDER_S, 1.5)

    def gained(hit: np.ndarray) -> float:
        return float(values[hit].sum() - 1.5 * values[stale_hits(trace, hit)].sum())

    visits = visits_of(trace, values, np.inf)
    fixed_s = setting.ladder_s[best_fixed(trace, visits, setting.ladder_s, 1.5)][trace.endpoint]
    base = replay(trace, "lru", capacity, ttl_s=fixed_s).hit
    steps, rng, total = Steps(setting), np.random.default_rng(1), 0.0
    going = steps.reset(0, 0)
    while going:
        total += steps.step(int(rng.integers(4)))
        going = steps.advance()
    assert total == pytest.approx(gained(steps._running.hit) - gained(base), rel=1e-3)


@pytest.mark.parametrize("make", [admission, ttl])
def test_a_sample_holds_what_steps_observe_and_earn(trace: Trace, make) -> None:  # type: ignore[no-untyped-def]
    setting = make(trace)
    last = setting.ladder_s.size - 1
    contexts = Future(setting).contexts(constant(setting, last), 1.0, 10_000, 0)
    steps = Steps(setting)
    going, seen = steps.reset(0, 0), 0
    while going:
        np.testing.assert_array_equal(contexts.rows[seen], steps.row)
        assert steps.step(last) == pytest.approx(float(contexts.rewards[seen, last]))
        going, seen = steps.advance(), seen + 1
    assert seen == len(contexts.rows) > 100


def test_a_share_of_the_decisions_is_noted_and_no_more_than_asked_for(trace: Trace) -> None:
    future = Future(ttl(trace))
    all_of_them = len(future.contexts(constant(future.setting, 3), 1.0, 10_000, 0).rows)
    some = len(future.contexts(constant(future.setting, 3), 0.2, 10_000, 0).rows)
    assert 0.1 * all_of_them < some < 0.3 * all_of_them
    assert len(future.contexts(constant(future.setting, 3), 1.0, 50, 0).rows) == 50


def test_a_network_scores_in_the_replay_as_numpy_computes_it(trace: Trace) -> None:
    setting = ttl(trace)
    decider = drawn(setting)
    raw = Future(setting).contexts(constant(setting, 3), 1.0, 300, 0).rows
    x = seen_by(decider.normaliser, raw).astype(np.float64)
    x = np.maximum(x @ decider.first.T + decider.first_bias, 0)
    x = np.maximum(x @ decider.second.T + decider.second_bias, 0)
    np.testing.assert_allclose(scores_of(decider, raw), x @ decider.last.T + decider.last_bias, rtol=1e-4, atol=1e-4)


def test_decisions_that_cannot_be_taken_are_refused(trace: Trace, make_trace) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="knows the future"):
        admission(trace, "belady")
    with pytest.raises(ConfigError, match="unknown policy"):
        ttl(trace, "mru")
    with pytest.raises(ConfigError, match="renew lives"):
        ttl(trace, "sliding-ttl")
    with pytest.raises(ConfigError, match="staleness_weight must be a number >= 0, got -1"):
        ttl_setting(trace, 10, Capacity(1, "objects"), np.ones(4_000), staleness_weight=-1)
    with pytest.raises(TraceError, match="origin_version"):
        ttl(make_trace([0, 1, 2]))
    with pytest.raises(GateError, match="nothing to learn"):
        Future(admission(trace, capacity=Capacity(10_000, "objects")))
