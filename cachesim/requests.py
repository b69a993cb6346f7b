"""Requests as policies read them."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.capacity import Capacity
from schemas.trace import FloatArray, IntArray, Trace

CHUNK = 65_536  # requests that are prepared at a time, so that memory stays constant


class Requests(NamedTuple):
    """n requests in arrival order, as read-only columns.

    Attributes:
        key: int64 (n,), object codes; the code of an object that a policy does not know may be given to another one.
        name: int64 (n,), what tells the object from all others for ever, for policies that hash objects.
        charge: int64 (n,), >= 1, what a copy of the object takes of the capacity; 0 where a request does not say.
        time_s: float64 (n,), never falling.
        lifetime_s: float64 (n,), how long a copy that is stored at this request may be served; inf = for ever, 0 = it
            must not be stored.
        size_bytes: int64 (n,), >= 1; 0 where a request does not say. `admit` needs both.
        load_time_ms: float32 (n,), NaN where unknown.
        endpoint: int32 (n,).
        columns: float32 (n, m), NaN where missing.
    """

    key: IntArray
    name: IntArray
    charge: IntArray
    time_s: FloatArray
    lifetime_s: FloatArray
    size_bytes: IntArray
    load_time_ms: NDArray[np.float32]
    endpoint: NDArray[np.int32]
    columns: NDArray[np.float32]


def chunks(
    trace: Trace, capacity: Capacity, lifetime_s: float | FloatArray = np.inf, stops: Sequence[int] = ()
) -> Iterator[tuple[slice, Requests]]:
    """Yield the requests of a trace in order, a span at a time.

    Args:
        trace: n requests.
        capacity: says what an object is charged.
        lifetime_s: of a copy, for all requests or one a request, shape (n,).
        stops: positions in [0, n] where a span must end.
    """
    edges = sorted({0, len(trace), *range(0, len(trace), CHUNK), *stops})
    ones, lifetimes = np.ones(CHUNK, np.int64), np.full(CHUNK, lifetime_s if np.isscalar(lifetime_s) else np.inf)
    for start, stop in itertools.pairwise(edges):
        span, shared = slice(start, stop), slice(0, stop - start)
        columns = (
            trace.key[span],
            trace.key[span],
            trace.size_bytes[span] if capacity.unit == "bytes" else ones[shared],
            trace.timestamp_s[span],
            lifetimes[shared] if np.isscalar(lifetime_s) else np.asarray(lifetime_s, np.float64)[span],
            trace.size_bytes[span],
            trace.load_time_ms[span],
            trace.endpoint[span],
            trace.columns[span],
        )
        yield span, Requests(*(fixed(column) for column in columns))


def fixed(column: NDArray[Any]) -> NDArray[Any]:
    """Return `column` contiguous and read-only: Numba compiles a kernel again for any other layout."""
    column = np.ascontiguousarray(column).view()
    column.flags.writeable = False
    return column


def one_request(n_columns: int) -> tuple[Requests, Requests]:
    """Return one request of `n_columns` feature columns to write to, and the same memory as the kernels take it."""
    row = Requests(
        key=np.zeros(1, np.int64),
        name=np.zeros(1, np.int64),
        charge=np.zeros(1, np.int64),
        time_s=np.zeros(1),
        lifetime_s=np.zeros(1),
        size_bytes=np.zeros(1, np.int64),
        load_time_ms=np.zeros(1, np.float32),
        endpoint=np.zeros(1, np.int32),
        columns=np.zeros((1, n_columns), np.float32),
    )
    return row, Requests(*[fixed(getattr(row, name)) for name in row._fields])
