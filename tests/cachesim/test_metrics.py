"""Scores of a replay."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.metrics import Score, score
from schemas.trace import Trace

rows = st.lists(
    st.tuples(st.booleans(), st.integers(1, 10**9), st.floats(0, 1e6, width=32) | st.just(float("nan"))), max_size=60
)


def test_each_ratio_weighs_the_hits_by_its_own_column(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 1, 2, 3], [1, 2, 3, 4], [10.0, 20.0, 30.0, 40.0])
    hit = np.array([True, False, False, True])
    values = np.array([1.0, 0.0, 7.0, 0.0])
    assert score(trace, hit, slice(None), values) == Score(4, 0.5, 0.5, 0.5, 0.125)
    assert score(trace, hit, slice(2, 4)) == Score(2, 0.5, 4 / 7, 4 / 7, None)


def test_no_requests_give_no_ratio(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 1], 1, 5.0)
    judged = score(trace, np.array([True, True]), slice(2, 2), np.ones(2))
    assert judged == Score(0, None, None, None, None)


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
