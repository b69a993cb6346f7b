"""What is remembered of the requests: history rows against a plain model, and one request at a time."""

import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cachesim.capacity import Capacity
from cachesim.eviction.caches import build_stream
from cachesim.features.history import NOBODY, History, empty_history, forget, missing_values, remember, request_history
from cachesim.features.table import COUNTS_AT, ENDPOINT_STEP, GAPS, HALF_LIVES_PER_CAPACITY, HISTORY_WIDTH
from cachesim.structures.lists import Links
from schemas.trace import Trace

CAPACITY = 5.0
HALF_LIVES = [share * CAPACITY for share in HALF_LIVES_PER_CAPACITY]
Requests = list[tuple[int, int]]  # (key, endpoint)
requests_of_few_keys = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=120)


def trace_of(requests: Requests, **columns: object) -> Trace:
    keys, endpoints = zip(*requests, strict=True)
    n = len(keys)
    values: dict[str, object] = {
        "size_bytes": 1 + np.arange(n, dtype=np.int64) % 7,
        "load_time_ms": np.arange(n, dtype=np.float32),
        **columns,
    }
    return Trace(
        key=np.array(keys, np.int64),
        timestamp_s=np.arange(n, dtype=np.float64),
        endpoint=np.array(endpoints, np.int32),
        n_keys=10,
        endpoint_names=("a", "b", "c"),
        **values,  # type: ignore[arg-type]
    )


def modelled_rows(requests: Requests, history_keys: int) -> list[list[float]]:
    """Gaps, counts and endpoint averages after each request, from the whole list of the key's remembered requests."""
    seen: dict[int, list[int]] = {}  # the positions of each remembered key, keys by latest request
    gap_of = {e: math.log2(1 + CAPACITY) for e in range(3)}
    new_of = dict.fromkeys(range(3), 0.5)
    rows = []
    for t, (key, endpoint) in enumerate(requests):
        past = seen.pop(key, [])
        new_of[endpoint] = (1 - ENDPOINT_STEP) * new_of[endpoint] + ENDPOINT_STEP * (not past)
        if past:
            log_gap = math.log2(1 + t - past[-1])
            gap_of[endpoint] = (1 - ENDPOINT_STEP) * gap_of[endpoint] + ENDPOINT_STEP * log_gap
        seen[key] = positions = [*past, t]
        if len(seen) > history_keys:
            del seen[next(iter(seen))]
        gaps = [later - earlier for earlier, later in itertools.pairwise(positions)][::-1]
        gaps = (gaps + GAPS * [-1])[:GAPS]
        counts = [sum(2 ** ((p - t) / half_life) for p in positions) for half_life in HALF_LIVES]
        rows.append([*gaps, *counts, gap_of[endpoint], new_of[endpoint]])
    return rows


@given(requests=requests_of_few_keys, history_keys=st.integers(1, 12))
def test_history_rows_equal_a_plain_model(requests: Requests, history_keys: int) -> None:
    trace = trace_of(requests)
    rows = request_history(trace, missing_values(trace), CAPACITY, history_keys)
    assert rows.shape == (len(trace), HISTORY_WIDTH)
    known = [*range(GAPS + len(HALF_LIVES)), HISTORY_WIDTH - 2, HISTORY_WIDTH - 1]
    np.testing.assert_allclose(rows[:, known], modelled_rows(requests, history_keys), rtol=1e-5)
    np.testing.assert_array_equal(rows[:, GAPS + len(HALF_LIVES)], trace.size_bytes)
    np.testing.assert_array_equal(rows[:, GAPS + len(HALF_LIVES) + 1], trace.load_time_ms)


@given(requests=requests_of_few_keys, data=st.data())
def test_a_history_row_does_not_look_ahead(requests: Requests, data: st.DataObject) -> None:
    trace = trace_of(requests)
    length = data.draw(st.integers(1, len(requests)))
    missing = missing_values(trace[:length])
    whole = request_history(trace, missing, CAPACITY, 6)
    np.testing.assert_array_equal(whole[:length], request_history(trace[:length], missing, CAPACITY, 6))


def test_a_key_that_fell_out_of_the_history_starts_anew() -> None:
    trace = trace_of([(0, 0), (1, 0), (2, 0), (0, 0)])
    remembered = request_history(trace, missing_values(trace), CAPACITY, 3)[-1]
    forgotten = request_history(trace, missing_values(trace), CAPACITY, 2)[-1]
    assert (remembered[0], forgotten[0]) == (3, -1)
    assert forgotten[COUNTS_AT] == 1 < remembered[COUNTS_AT]


def test_missing_values_take_the_mean_of_the_training_span() -> None:
    nan = np.float32(np.nan)
    load_time_ms = np.array([10, nan, 30, nan, 1000], np.float32)
    columns = np.array([[1, nan, 3, nan, 99], [nan, nan, nan, 5, 6]], np.float32).T.copy()
    trace = trace_of(
        [(key, 0) for key in range(5)], load_time_ms=load_time_ms, columns=columns, column_names=("a", "never_trained")
    )
    rows = request_history(trace, missing_values(trace[:3]), CAPACITY, 10)
    assert rows[:, GAPS + len(HALF_LIVES) + 1].tolist() == [10, 20, 30, 20, 1000]
    assert rows[:, HISTORY_WIDTH].tolist() == [1, 2, 3, 2, 99]
    assert rows[:, HISTORY_WIDTH + 1].tolist() == [0, 0, 0, 5, 6]


def test_a_load_time_of_the_test_span_changes_no_training_row() -> None:
    load_time_ms = np.array([10, np.nan, 30, 40, 50], np.float32)
    changed = np.array([10, np.nan, 30, 4000, np.nan], np.float32)
    first, second = (
        build_stream(trace_of([(0, 0)] * 5, load_time_ms=values), Capacity(10, "objects"), 3).history[:3]
        for values in (load_time_ms, changed)
    )
    np.testing.assert_array_equal(first, second)


def history_for(trace: Trace, limit_keys: int) -> History:
    return empty_history(trace.n_keys, len(trace.endpoint_names), CAPACITY, limit_keys, missing_values(trace))


def remembered_one(history: History, trace: Trace, t: int) -> tuple[int, np.ndarray]:
    """Let the history see request t alone; return which key was forgotten, and the row."""
    row = np.full(HISTORY_WIDTH + len(trace.column_names), np.nan, np.float32)
    request = (trace.key[t], trace.endpoint[t], trace.size_bytes[t], trace.load_time_ms[t], trace.columns[t])
    return remember(history, t, *request, row), row


def copy_of(history: History) -> History:
    arrays = (value.copy() if isinstance(value, np.ndarray) else value for value in history)
    return History(*arrays)._replace(remembered=Links(*(links.copy() for links in history.remembered)))


@given(requests=requests_of_few_keys, history_keys=st.integers(1, 12), data=st.data())
def test_one_request_at_a_time_from_a_snapshot_on_gives_the_rows_of_the_whole(
    requests: Requests, history_keys: int, data: st.DataObject
) -> None:
    n, rng = len(requests), np.random.default_rng(0)
    columns = np.where(rng.random((n, 2)) < 0.3, np.nan, rng.random((n, 2))).astype(np.float32)
    load_time_ms = np.where(rng.random(n) < 0.3, np.nan, rng.random(n)).astype(np.float32)
    trace = trace_of(requests, load_time_ms=load_time_ms, columns=columns, column_names=("a", "b"))
    whole = request_history(trace, missing_values(trace), CAPACITY, history_keys)
    pause = data.draw(st.integers(0, n))
    history = history_for(trace, history_keys)
    for t in range(n):
        if t == pause:
            history = copy_of(history)
        np.testing.assert_array_equal(remembered_one(history, trace, t)[1], whole[t])


@given(requests=requests_of_few_keys, limit_keys=st.integers(1, 12))
def test_the_key_unrequested_for_longest_is_forgotten_beyond_the_limit(requests: Requests, limit_keys: int) -> None:
    trace = trace_of(requests)
    history, recent = history_for(trace, limit_keys), list[int]()
    for t, (key, _) in enumerate(requests):
        recent = [*(k for k in recent if k != key), key]
        forgotten = recent.pop(0) if len(recent) > limit_keys else NOBODY
        assert remembered_one(history, trace, t)[0] == forgotten
        assert set(np.flatnonzero(history.last >= 0)) == set(recent)
        assert history.size[0] == len(recent)


@given(requests=requests_of_few_keys, data=st.data())
def test_a_key_that_is_told_to_be_forgotten_starts_anew(requests: Requests, data: st.DataObject) -> None:
    trace = trace_of(requests)
    key, n = data.draw(st.sampled_from(requests))[0], len(requests)
    history = history_for(trace, 10)
    for t in range(n):
        remembered_one(history, trace, t)
    size = history.size[0]
    forget(history, key)
    assert (history.last[key], history.size[0]) == (-1, size - 1)
    row = np.empty(HISTORY_WIDTH, np.float32)
    assert remember(history, n, key, 0, 1, 1.0, np.empty(0, np.float32), row) == NOBODY
    assert row[:COUNTS_AT].tolist() == GAPS * [-1]
    assert row[COUNTS_AT : COUNTS_AT + len(HALF_LIVES)].tolist() == len(HALF_LIVES) * [1]
    assert history.size[0] == size
