"""What is remembered of the requests: gaps and decayed counts of each key, and averages of each endpoint.

Whole traces and single requests go through the same kernel, `remember`. Memory is bounded: keys are remembered in a
list of the most recently requested ones, whether they are resident or not, and one that fell out of it starts anew.
"""

from typing import NamedTuple

import numpy as np

from cachesim.capacity import Capacity
from cachesim.compiled import inner_kernel, kernel
from cachesim.features.table import (
    COUNTS_AT,
    ENDPOINT_GAP_AT,
    ENDPOINT_NEW_AT,
    ENDPOINT_STEP,
    GAPS,
    HISTORY_WIDTH,
    LOAD_TIME_AT,
    SIZE_AT,
    Float32Array,
    copy_row,
    half_lives,
)
from cachesim.structures.lists import Links, empty_links, oldest, push, unlink
from schemas.trace import FloatArray, IntArray, Trace

HEAD = -1  # of the only list
NOBODY = -1  # stands for a key where none was forgotten


class Fitted(NamedTuple):
    """What features take from the training span, whichever requests they are computed for.

    Attributes:
        objects: how many objects of the mean size there the cache holds, >= 1: the unit of the half-lives.
        missing: float32 (1 + m,), what stands in for an unknown load time and for missing values of the m columns.
    """

    objects: float
    missing: Float32Array


class History(NamedTuple):
    """The state behind the history rows.

    Attributes:
        remembered: the remembered keys, by their latest request.
        last: int64 (n_keys,), position of the latest request, -1 when the key is not remembered.
        gaps: float32 (n_keys, GAPS), requests between the latest ones of the key, the newest first, -1 when unknown.
        counts: float32 (n_keys, 4), decayed counts at the latest request.
        endpoint_gap: float64 (n_endpoints,), moving average of log2(1 + gap).
        endpoint_new: float64 (n_endpoints,), moving share of requests whose key was not remembered.
        half_lives: float64 (4,), of the counts, in requests.
        missing: float32 (1 + m,), what stands in for an unknown load time and for missing values of the m columns.
        size: int64 (1,), how many keys are remembered.
        limit_keys: int64 (1,), how many may be, >= 1.
    """

    remembered: Links
    last: IntArray
    gaps: Float32Array
    counts: Float32Array
    endpoint_gap: FloatArray
    endpoint_new: FloatArray
    half_lives: FloatArray
    missing: Float32Array
    size: IntArray
    limit_keys: IntArray


def empty_history(
    n_keys: int, n_endpoints: int, capacity_objects: float, limit_keys: int, missing: Float32Array
) -> History:
    """Return the history before the first request.

    Args:
        n_keys: keys are codes in [0, n_keys).
        n_endpoints: endpoints are codes in [0, n_endpoints).
        capacity_objects: cache capacity in objects, the unit of the half-lives.
        limit_keys: how many keys are remembered, >= 1.
        missing: float32 (1 + m,), see `missing_values`.
    """
    lives = half_lives(capacity_objects)
    return History(
        remembered=empty_links(n_keys, 1),
        last=np.full(n_keys, -1, np.int64),
        gaps=np.zeros((n_keys, GAPS), np.float32),
        counts=np.zeros((n_keys, lives.size), np.float32),
        endpoint_gap=np.full(n_endpoints, np.log2(1 + capacity_objects)),
        endpoint_new=np.full(n_endpoints, 0.5),
        half_lives=lives,
        missing=missing,
        size=np.zeros(1, np.int64),
        limit_keys=np.array([limit_keys], np.int64),
    )


def missing_values(span: Trace) -> Float32Array:
    """Return the mean load time and the mean of each column of the training span, float32 (1 + m,); 0 when unknown."""
    columns = (span.load_time_ms, *span.columns.T)
    known = (column[~np.isnan(column)] for column in columns)
    return np.array([values.mean(dtype=np.float64) if values.size else 0.0 for values in known], np.float32)


def fit(span: Trace, capacity: Capacity) -> Fitted:
    """Return what features of a cache of this capacity take from a training span."""
    return Fitted(capacity.mean_objects(span), missing_values(span))


def request_history(
    trace: Trace, missing: Float32Array, capacity_objects: float, history_keys: int, stride: float = 1.0
) -> Float32Array:
    """Return the history row of each request: what is known of its object just after it, from the past alone.

    Args:
        trace: the requests.
        missing: float32 (1 + m,), stands in for missing load times and column values, see `missing_values`.
        capacity_objects: cache capacity in objects, the unit of the half-lives.
        history_keys: how many keys are remembered, >= 1.
        stride: how many requests one of these stands for, >= 1: gaps and half-lives are told in those.

    Returns:
        float32 (n, HISTORY_WIDTH + m): gaps 1 to 4, decayed counts, size, load time, endpoint averages, the m columns.
    """
    history = empty_history(trace.n_keys, len(trace.endpoint_names), capacity_objects, history_keys, missing)
    rows = np.empty((len(trace), HISTORY_WIDTH + len(trace.column_names)), np.float32)
    columns = np.ascontiguousarray(trace.columns)
    _remember_all(history, trace.key, trace.endpoint, trace.size_bytes, trace.load_time_ms, columns, stride, rows)
    return rows


@kernel
def _remember_all(history, keys, endpoints, sizes_bytes, load_times_ms, columns, stride, rows):  # type: ignore[no-untyped-def]
    for t in range(keys.size):
        moment = int(stride * t)
        remember(history, moment, keys[t], endpoints[t], sizes_bytes[t], load_times_ms[t], columns[t], rows[t])


@kernel
def remember(history, t, key, endpoint, size_bytes, load_time_ms, columns, row):  # type: ignore[no-untyped-def]
    """Take note of request t and write its history row; see `note` and `write_row`, one after the other."""
    forgotten = note(history, t, key, endpoint)
    write_row(history, key, endpoint, size_bytes, load_time_ms, columns, row)
    return forgotten


@inner_kernel
def note(history, t, key, endpoint):  # type: ignore[no-untyped-def]
    """Take note of request t, of `key` at `endpoint`; return the key that was forgotten to make room, or NOBODY."""
    known = history.last[key] >= 0
    if known:
        _note_return(history, t - history.last[key], key, endpoint)
    else:
        _note_new(history, key)
    history.endpoint_new[endpoint] += ENDPOINT_STEP * ((not known) - history.endpoint_new[endpoint])
    history.last[key] = t
    push(history.remembered, HEAD, key)
    return _forget_beyond_limit(history)


@inner_kernel
def write_row(history, key, endpoint, size_bytes, load_time_ms, columns, row):  # type: ignore[no-untyped-def]
    """Write the history row of a remembered key, as of its latest request.

    Args:
        history: of all requests so far.
        key: of the object, remembered.
        endpoint: of the request.
        size_bytes: of the object, >= 1.
        load_time_ms: of the object, NaN when unknown.
        columns: float32 (m,), NaN where missing.
        row: float32 (HISTORY_WIDTH + m,), to write to.
    """
    copy_row(history.gaps[key], row)
    copy_row(history.counts[key], row[COUNTS_AT:])
    row[SIZE_AT] = size_bytes
    row[LOAD_TIME_AT] = history.missing[0] if np.isnan(load_time_ms) else load_time_ms
    row[ENDPOINT_GAP_AT] = history.endpoint_gap[endpoint]
    row[ENDPOINT_NEW_AT] = history.endpoint_new[endpoint]
    for i in range(columns.size):
        row[HISTORY_WIDTH + i] = history.missing[1 + i] if np.isnan(columns[i]) else columns[i]


@inner_kernel
def _note_return(history, gap, key, endpoint):  # type: ignore[no-untyped-def]
    unlink(history.remembered, key)
    for i in range(GAPS - 1, 0, -1):
        history.gaps[key, i] = history.gaps[key, i - 1]
    history.gaps[key, 0] = gap
    for i in range(history.half_lives.size):
        history.counts[key, i] = 1 + history.counts[key, i] * 2.0 ** (-gap / history.half_lives[i])
    history.endpoint_gap[endpoint] += ENDPOINT_STEP * (np.log2(1.0 + gap) - history.endpoint_gap[endpoint])


@inner_kernel
def _note_new(history, key):  # type: ignore[no-untyped-def]
    history.gaps[key, :] = -1
    history.counts[key, :] = 1
    history.size[0] += 1


@inner_kernel
def _forget_beyond_limit(history):  # type: ignore[no-untyped-def]
    if history.size[0] <= history.limit_keys[0]:
        return NOBODY
    forgotten = oldest(history.remembered, HEAD)
    forget(history, forgotten)
    return forgotten


@kernel
def forget(history, key):  # type: ignore[no-untyped-def]
    """Drop what is known of the remembered `key`."""
    unlink(history.remembered, key)
    history.last[key] = -1
    history.size[0] -= 1
