"""Scores of a replay."""

import dataclasses
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.analysis.metrics import Score, gains, score, series, stale_hits, window_marks
from cachesim.capacity import Capacity
from cachesim.replay import POLICIES, replay
from cachesim.traffic.energy import energy_trace
from schemas.errors import ConfigError
from schemas.trace import Trace

rows = st.lists(
    st.tuples(st.booleans(), st.integers(1, 10**9), st.floats(0, 1e6, width=32) | st.just(float("nan"))), max_size=60
)


def test_each_ratio_weighs_the_hits_by_its_own_column(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 1, 2, 3], [1, 2, 3, 4], [10.0, 20.0, 30.0, 40.0])
    hit = np.array([True, False, False, True])
    values = np.array([1.0, 0.0, 7.0, 0.0])
    whole, part = score(trace, hit, slice(None), values), score(trace, hit, slice(2, 4))
    assert asdict(whole) == pytest.approx(asdict(Score(4, 0.5, 0.5, 0.5, 13.0, 28.5, None, 0.125)))
    assert asdict(part) == pytest.approx(asdict(Score(2, 0.5, 4 / 7, 4 / 7, 15.5, 28.55, None, None)))


def test_no_requests_give_no_ratio(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 1], 1, 5.0)
    judged = score(trace, np.array([True, True]), slice(2, 2), np.ones(2))
    assert judged == Score(0, None, None, None, None, None, None, None)


def test_unknown_load_times_are_left_out(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 1, 2], 1, [30.0, np.nan, 10.0])
    assert score(trace, np.array([True, True, False]), slice(None)).saved_load_time_ratio == 0.75
    assert score(trace, np.array([True, True, False]), slice(1, 2)).saved_load_time_ratio is None


def test_load_times_of_zero_leave_nothing_to_save(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 1], 1, 0.0)
    assert score(trace, np.array([True, False]), slice(None)).saved_load_time_ratio is None


@given(rows=rows)
def test_ratios_lie_between_zero_and_one_and_reach_them(make_trace: Callable[..., Trace], rows: list) -> None:
    trace = make_trace(range(len(rows)), [r[1] for r in rows], [r[2] for r in rows])
    for hit, expected in ((np.ones(len(rows), bool), 1.0), (np.zeros(len(rows), bool), 0.0)):
        judged = score(trace, hit, slice(None), np.ones(len(rows)))
        ratios = (judged.hit_ratio, judged.byte_hit_ratio, judged.saved_load_time_ratio, judged.value_ratio)
        assert all(ratio in (None, expected) for ratio in ratios)
    hit = np.array([r[0] for r in rows], bool)
    judged = score(trace, hit, slice(None), np.ones(len(rows)))
    assert judged.value_ratio == judged.hit_ratio
    assert judged.byte_hit_ratio is None or 0 <= judged.byte_hit_ratio <= 1


@given(rows=rows, start=st.integers(0, 60))
def test_a_span_scores_like_a_trace_of_its_own(make_trace: Callable[..., Trace], rows: list, start: int) -> None:
    trace = make_trace(range(len(rows)), [r[1] for r in rows], [r[2] for r in rows])
    hit = np.array([r[0] for r in rows], bool)
    assert score(trace, hit, slice(start, None)) == score(trace[start:], hit[start:], slice(None))


@pytest.mark.parametrize("column", ["size_bytes", "load_time_ms"])
def test_a_value_proportional_to_a_column_gives_the_ratio_of_that_column(
    make_trace: Callable[..., Trace], column: str
) -> None:
    rng = np.random.default_rng(3)
    trace = make_trace(range(200), rng.integers(1, 10**6, 200).tolist(), rng.uniform(0, 900, 200).tolist())
    judged = score(trace, rng.random(200) < 0.3, slice(50, 200), 2.5 * getattr(trace, column).astype(float))
    ratio = judged.byte_hit_ratio if column == "size_bytes" else judged.saved_load_time_ratio
    assert judged.value_ratio == pytest.approx(ratio)


def test_a_hit_takes_as_long_as_is_said(make_trace: Callable[..., Trace]) -> None:
    trace, hit = make_trace([0, 0], 1, 100.0), np.array([False, True])
    assert score(trace, hit, slice(None), hit_ms=0.0).mean_latency_ms == 50.0
    assert score(trace, hit, slice(None), hit_ms=20.0).mean_latency_ms == 60.0
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="hit_ms must be a number"):
            score(trace, hit, slice(None), hit_ms=wrong)


def test_a_hit_is_stale_when_the_content_changed_after_the_copy_was_stored(make_trace: Callable[..., Trace]) -> None:
    plain = make_trace([0, 0, 0, 1, 0, 0])
    trace = dataclasses.replace(plain, version=np.array([1, 1, 2, 5, 2, 2]))
    hit = np.array([False, True, True, False, False, True])
    assert stale_hits(trace, hit).tolist() == [False, False, True, False, False, False]
    assert score(trace, hit, slice(None)).stale_ratio == 1 / 3
    assert score(trace, hit, slice(3, None)).stale_ratio == 0.0
    assert score(trace, hit, slice(3, 5)).stale_ratio is None  # no hits
    assert score(plain, hit, slice(None)).stale_ratio is None
    assert not stale_hits(plain, hit).any()


@pytest.mark.parametrize("policy", POLICIES)
def test_stale_hits_equal_those_of_a_cache_that_remembers_versions(policy: str) -> None:
    trace = energy_trace(5_000, seed=4)
    assert trace.version is not None
    hit = replay(trace, policy, Capacity(200, "objects"), ttl_s=1e4).hit
    stored: dict[int, int] = {}
    expected = []
    for key, version, served in zip(trace.key.tolist(), trace.version.tolist(), hit.tolist(), strict=True):
        expected.append(served and stored[key] != version)
        stored[key] = stored[key] if served else version
    assert stale_hits(trace, hit).tolist() == expected
    assert any(expected)


def test_a_shorter_time_to_live_serves_less_stale_copies() -> None:
    trace = energy_trace(20_000, seed=4)
    hits = [replay(trace, "lru", Capacity(300, "objects"), ttl_s=ttl_s).hit for ttl_s in (600.0, 7_200.0, np.inf)]
    stale = [int(stale_hits(trace, hit).sum()) for hit in hits]
    assert stale[0] < stale[1] < stale[2]
    assert hits[0].sum() < hits[1].sum() < hits[2].sum()


def test_the_windows_of_a_series_cut_the_trace_and_add_up_to_the_whole() -> None:
    trace, capacity = energy_trace(5_000, seed=4), Capacity(100, "objects")
    outcome = replay(trace, "2q", capacity, ttl_s=3_600.0, marks=window_marks(len(trace), 7))
    windows = series(trace, outcome)
    assert [w.start for w in windows] == [0, *(w.stop for w in windows[:-1])]
    assert windows[-1].stop == len(trace)
    assert len(windows) == 7
    for name in ("admissions", "evictions", "rejections", "expiries"):
        assert sum(getattr(w.activity, name) for w in windows) == getattr(outcome.whole, name)
    for window in windows:
        assert window.score == score(trace, outcome.hit, slice(window.start, window.stop))
    assert windows[-1].activity.resident_objects == outcome.whole.resident_objects
    np.testing.assert_array_equal(outcome.hit, replay(trace, "2q", capacity, ttl_s=3_600.0).hit)


def test_a_short_trace_has_as_many_windows_as_requests() -> None:
    assert list(window_marks(3, 10)) == [0, 1, 2, 3]
    assert list(window_marks(0, 10)) == [0]


def test_the_net_value_of_hits_takes_off_the_stale_ones_by_their_weight(make_trace: Callable[..., Trace]) -> None:
    """Object 0 hits twice: first fresh, worth 2, then stale, worth 3; object 1 is worth 5 and misses."""
    trace = dataclasses.replace(make_trace([0, 0, 0, 1]), version=np.array([1, 1, 2, 1]))
    hit, values = np.array([False, True, True, False]), np.array([9.0, 2.0, 3.0, 5.0])

    def net(weight: float) -> float | None:
        return score(trace, hit, slice(1, 4), values, staleness_weight=weight).value_ratio

    assert [net(weight) for weight in (0.0, 1.0, 2.0)] == pytest.approx([0.5, 0.2, -0.1])
    assert gains(trace, hit, 2.0).tolist() == [0.0, 1.0, -1.0, 0.0]
    unversioned = score(make_trace([0, 0]), np.array([False, True]), slice(None), np.ones(2), staleness_weight=1.0)
    assert unversioned.value_ratio == 0.5
    assert score(trace, np.zeros(4, bool), slice(None), staleness_weight=1.0).value_ratio is None
