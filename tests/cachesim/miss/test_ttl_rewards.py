"""What the recorded span knows of times to live, against a plain model of one object at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.analysis.metrics import stale_hits
from cachesim.capacity import Capacity
from cachesim.miss.ttl_rewards import best_fixed, life_rewards, lifetimes_within, lives_of, require_ladder, visits_of
from cachesim.replay import replay
from cachesim.traffic.energy import energy_trace
from schemas.errors import ConfigError, TraceError
from schemas.trace import Trace
from tests.models.learned import misses as plain

LADDER_S = [0.0, 1.0, 3.0, 10.0, float("inf")]
rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=60)
kept = st.sampled_from([2.0, 7.0, float("inf"), float("nan")])


def versioned(rows: list[tuple[int, int, int]]) -> Trace:
    """Requests of (key, version, seconds since the one before); two endpoints, by key."""
    key, version, gap_s = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    n = len(rows)
    return Trace(
        key=key,
        timestamp_s=np.cumsum(gap_s).astype(np.float64),
        size_bytes=np.ones(n, np.int64),
        load_time_ms=np.full(n, np.nan, np.float32),
        endpoint=(key % 2).astype(np.int32),
        n_keys=5,
        endpoint_names=("even", "odd"),
        version=version,
    )


def values_of(trace: Trace) -> list[float]:
    return (1.0 + np.arange(len(trace)) % 3).tolist()


@given(rows=rows, kept_requests=kept, ttl_s=st.sampled_from(LADDER_S))
def test_a_life_is_what_a_plain_walk_over_the_requests_finds(
    rows: list[tuple[int, int, int]], kept_requests: float, ttl_s: float
) -> None:
    trace = versioned(rows)
    values = values_of(trace)
    visits = visits_of(trace, np.array(values), kept_requests)
    lives = lives_of(visits, ttl_s)
    for v, i in enumerate(visits.order.tolist()):
        hits, stale, following = plain.life(trace, i, ttl_s, kept_requests, values)
        assert lives.hits[v] == pytest.approx(hits)
        assert lives.stale[v] == pytest.approx(stale)
        ends = following == len(trace)
        assert (lives.following[v] == visits.last[v]) if ends else (visits.order[lives.following[v]] == following)


@given(rows=rows, kept_requests=kept, weight=st.sampled_from([0.0, 1.0, 2.5]))
def test_a_reward_is_the_gain_of_a_life_and_what_follows_over_the_best_fixed_one(
    rows: list[tuple[int, int, int]], kept_requests: float, weight: float
) -> None:
    trace = versioned(rows)
    values, ladder = values_of(trace), require_ladder(LADDER_S)
    visits = visits_of(trace, np.array(values), kept_requests)
    fixed = best_fixed(trace, visits, ladder, weight)
    rewards = life_rewards(trace, np.array(values), kept_requests, ladder, weight)
    for i in range(0, len(trace), 5):
        fixed_s = LADDER_S[fixed[trace.endpoint[i]]]
        for rung, ttl_s in enumerate(LADDER_S):
            hits, stale, following = plain.life(trace, i, ttl_s, kept_requests, values)
            later = plain.total(trace, following, fixed_s, kept_requests, values, weight)
            before = plain.total(trace, i, fixed_s, kept_requests, values, weight)
            assert rewards[i, rung] == pytest.approx(hits - weight * stale + later - before, abs=1e-4)


@given(rows=rows, kept_requests=kept)
def test_the_best_fixed_time_to_live_gains_as_much_as_a_plain_search_finds(
    rows: list[tuple[int, int, int]], kept_requests: float
) -> None:
    trace = versioned(rows)
    values = values_of(trace)
    fixed = best_fixed(trace, visits_of(trace, np.array(values), kept_requests), np.array(LADDER_S), 1.0)
    for endpoint in set(trace.endpoint.tolist()):
        assert LADDER_S[fixed[endpoint]] == plain.best_fixed_s(trace, endpoint, LADDER_S, kept_requests, values, 1.0)


@pytest.mark.parametrize("budget", [0.0, 0.05, 0.3, 1.0])
def test_each_endpoint_stays_within_its_staleness_budget_where_it_was_chosen(budget: float) -> None:
    """In a cache that never evicts, the replay and the analysis see the same lives."""
    trace = energy_trace(8_000, seed=3)
    ttl_s = lifetimes_within(trace, np.inf, budget)
    hit = replay(trace, "lru", Capacity(trace.distinct_keys, "objects"), ttl_s=ttl_s[trace.endpoint]).hit
    stale = stale_hits(trace, hit)
    for endpoint in range(len(trace.endpoint_names)):
        at = trace.endpoint == endpoint
        assert stale[at].sum() <= budget * hit[at].sum()
    assert hit.any()
    assert budget < 1 or np.isinf(ttl_s).all()


def test_a_greater_budget_never_hits_less() -> None:
    trace = energy_trace(8_000, seed=4)
    hits = [
        replay(
            trace, "lru", Capacity(10_000, "objects"), ttl_s=lifetimes_within(trace, np.inf, b)[trace.endpoint]
        ).hit.sum()
        for b in (0.0, 0.02, 0.1, 0.4)
    ]
    assert hits == sorted(hits)
    assert hits[0] < hits[-1]


def test_requests_without_versions_are_refused(make_trace) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TraceError, match="origin_version"):
        lifetimes_within(make_trace([0, 1]), 10.0, 0.1)


@pytest.mark.parametrize("budget", [-0.1, 1.1, float("nan")])
def test_a_budget_that_is_no_share_is_refused(budget: float) -> None:
    with pytest.raises(ConfigError, match="staleness budget"):
        lifetimes_within(energy_trace(10, seed=0), 10.0, budget)


@pytest.mark.parametrize("ladder_s", [[], [5.0], [3.0, 2.0], [1.0, 1.0], [-1.0, 2.0], [float("nan"), 1.0]])
def test_a_ladder_that_does_not_rise_is_refused(ladder_s: list[float]) -> None:
    with pytest.raises(ConfigError, match="rising numbers of seconds"):
        require_ladder(ladder_s)
