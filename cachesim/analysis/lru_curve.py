"""LRU hit ratios at every capacity, from one pass over the requests.

Mattson, Gecsei, Slutz, Traiger: Evaluation techniques for storage hierarchies. IBM Systems Journal 9 (2), 1970.
Bennett, Kruskal: LRU stack processing. IBM Journal of Research and Development 19 (4), 1975.

The stack distance of a request is what the objects asked for since the last request of its object take, its own object
included; LRU hits exactly when that fits. Each object stands at the moment of its last request, and a Fenwick tree over
the moments sums charges, so that a request costs O(log n_keys); when the moments run out, they are numbered anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cachesim.capacity import Capacity, Unit
from cachesim.compiled import kernel
from cachesim.requests import CHUNK, fixed
from schemas.errors import ConfigError, TraceError
from schemas.trace import FloatArray, IntArray, Trace

ABSENT = -1
NOW, TOTAL = range(2)  # indices of Stack.counts
FEWEST_MOMENTS = 64


@dataclass(frozen=True)
class Curve:
    """LRU's hit ratio as a function of the capacity: a staircase, 0 below its first step.

    Attributes:
        unit: of the capacities.
        capacities: int64 (m,), rising, >= 1: from each of these on more requests hit.
        hit_ratios: float64 (m,), never falling, in [0, 1].
        byte_hit_ratios: float64 (m,), bytes of the hits / bytes of all, never falling, in [0, 1].
        requests: how many were judged, >= 1.
        rate: share of the keys that was looked at, in (0, 1]; 1 for an exact curve.
        sampled_keys: distinct keys that were looked at; of an exact curve, all.
    """

    unit: Unit
    capacities: IntArray
    hit_ratios: FloatArray
    byte_hit_ratios: FloatArray
    requests: int
    rate: float
    sampled_keys: int

    def hit_ratio_at(self, capacities: ArrayLike) -> FloatArray:
        """Return the hit ratio at each capacity.

        Args:
            capacities: shape (k,), each >= 1 in `unit`.

        Raises:
            ConfigError: a capacity is below 1.
        """
        return self._at(capacities, self.hit_ratios)

    def byte_hit_ratio_at(self, capacities: ArrayLike) -> FloatArray:
        """Return the byte hit ratio at each capacity; arguments and errors as of `hit_ratio_at`."""
        return self._at(capacities, self.byte_hit_ratios)

    def _at(self, capacities: ArrayLike, ratios: FloatArray) -> FloatArray:
        asked = np.asarray(capacities)
        if asked.size and not asked.min() >= 1:
            raise ConfigError(f"a capacity must be >= 1 {self.unit.removesuffix('s')}, got {asked.min()}")
        steps: FloatArray = np.concatenate(([0.0], ratios))
        return steps[np.searchsorted(self.capacities, asked, side="right")]


class Hits(NamedTuple):
    """Requests by the capacity from which on they hit.

    Attributes:
        distance: int64 (m,), rising, >= 1.
        requests, bytes: float64 (m,), how many requests, and bytes of them, first hit at that distance.
    """

    distance: IntArray
    requests: FloatArray
    bytes: FloatArray


NO_HITS = Hits(np.empty(0, np.int64), np.empty(0), np.empty(0))


def lru_curve(trace: Trace, unit: Unit = "objects", start: int = 0) -> Curve:
    """Return LRU's exact hit ratio at every capacity.

    In objects it equals a replay at each capacity. In bytes it does so from the largest object's size on when each
    object keeps its size. Otherwise it differs a little: a replay does not admit an object larger than the cache, here
    it displaces others; and where a size changes, an object counts with that of its last request.

    Time is O(n log n_keys), memory O(distinct stack distances): in objects these are at most the distinct keys.

    Args:
        trace: n requests.
        unit: of the capacities.
        start: requests before this index only warm the cache; in [0, n).

    Raises:
        TraceError: there are no requests.
        ConfigError: `start` is not in [0, n).
    """
    check_start(trace, start)
    stack, hits = empty_stack(trace.n_keys), NO_HITS
    for span in spans(trace):
        part = trace[span]
        distance = np.empty(len(part), np.int64)
        _measure(stack, fixed(part.key), fixed(Capacity(1, unit).charges(part)), distance)
        judged = slice(max(0, start - span.start), None)
        hits = merged(hits, distance[judged], np.ones(distance[judged].size), part.size_bytes[judged])
    requests = len(trace) - start
    return Curve(
        unit=unit,
        capacities=hits.distance,
        hit_ratios=np.cumsum(hits.requests) / requests,
        byte_hit_ratios=np.cumsum(hits.bytes) / float(trace.size_bytes[start:].sum()),
        requests=requests,
        rate=1.0,
        sampled_keys=trace.distinct_keys,
    )


def check_start(trace: Trace, start: int) -> None:
    """Raise a TraceError for a trace without requests, a ConfigError for a start outside it."""
    if len(trace) == 0:
        raise TraceError("a curve needs at least one request, and the trace has none: read more rows")
    if not 0 <= start < len(trace):
        raise ConfigError(f"start must lie in [0, {len(trace)}), the indices of the requests, got {start}")


def spans(trace: Trace) -> Iterator[slice]:
    """Yield spans of the trace, in order: as long as it has keys, so that what is kept between them weighs little."""
    step = max(CHUNK, trace.n_keys)
    return (slice(begin, min(begin + step, len(trace))) for begin in range(0, len(trace), step))


def merged(hits: Hits, distance: IntArray, weight: FloatArray, size_bytes: IntArray) -> Hits:
    """Return `hits` and some more.

    Args:
        hits: those so far.
        distance: int64 (k,), the stack distance of each request; 0 = it hits at no capacity.
        weight: float64 (k,), how many requests each one stands for.
        size_bytes: int64 (k,), >= 1.
    """
    found = distance > 0
    weight, bytes_ = weight[found], weight[found] * size_bytes[found]
    distances, place = np.unique(np.concatenate((hits.distance, distance[found])), return_inverse=True)
    return Hits(
        distance=distances,
        requests=_sums(place, np.concatenate((hits.requests, weight)), distances.size),
        bytes=_sums(place, np.concatenate((hits.bytes, bytes_)), distances.size),
    )


def _sums(place: IntArray, weight: FloatArray, n: int) -> FloatArray:
    """Return the sum of the weights at each of n places."""
    return np.bincount(place, weight, n).astype(np.float64, copy=False)


class Stack(NamedTuple):
    """Objects in order of their last requests.

    Attributes:
        tree: int64 (n_moments + 1,), a Fenwick tree of the charges over the moments.
        key: int32 (n_moments,), the object whose last request was at each moment, or ABSENT.
        moment: int64 (n_keys,), of each object's last request, or ABSENT.
        charge: int64 (n_keys,), of each object at its last request.
        counts: int64 (2,): the next moment, and the sum of the charges.
    """

    tree: IntArray
    key: NDArray[np.int32]
    moment: IntArray
    charge: IntArray
    counts: IntArray


def empty_stack(n_keys: int) -> Stack:
    """Return a stack that can hold the object codes in [0, n_keys)."""
    n_moments = max(FEWEST_MOMENTS, 2 * n_keys)
    return Stack(
        tree=np.zeros(n_moments + 1, np.int64),
        key=np.full(n_moments, ABSENT, np.int32),
        moment=np.full(n_keys, ABSENT, np.int64),
        charge=np.zeros(n_keys, np.int64),
        counts=np.zeros(2, np.int64),
    )


@kernel
def _measure(stack: Stack, keys: IntArray, charges: IntArray, distance: IntArray) -> None:
    """Serve requests in order; write to `distance` the stack distance of each, 0 for the first of its object."""
    for i in range(keys.size):
        distance[i] = request(stack, keys[i], charges[i])


@kernel
def request(stack: Stack, key: int, charge: int) -> int:
    """Put `key` on top and return its stack distance before that; 0 when it was not there."""
    distance = 0
    if stack.moment[key] != ABSENT:
        distance = stack.counts[TOTAL] - _sum_before(stack, stack.moment[key])
        forget(stack, key)
    if stack.counts[NOW] == stack.key.size:
        _renumber(stack)
    moment = stack.counts[NOW]
    stack.key[moment], stack.moment[key], stack.charge[key] = key, moment, charge
    stack.counts[NOW] += 1
    _add(stack, moment, charge)
    return distance


@kernel
def forget(stack: Stack, key: int) -> None:
    """Take out `key`, which is there."""
    moment = stack.moment[key]
    stack.key[moment], stack.moment[key] = ABSENT, ABSENT
    _add(stack, moment, -stack.charge[key])


@kernel
def _add(stack: Stack, moment: int, charge: int) -> None:
    stack.counts[TOTAL] += charge
    node = moment + 1
    while node < stack.tree.size:
        stack.tree[node] += charge
        node += node & -node


@kernel
def _sum_before(stack: Stack, moment: int) -> int:
    node, total = moment, 0
    while node > 0:
        total += stack.tree[node]
        node &= node - 1
    return total


@kernel
def _renumber(stack: Stack) -> None:
    """Give the objects the first moments, in the same order; more than half of the moments become free."""
    moment = 0
    for old in range(stack.key.size):
        key = stack.key[old]
        stack.key[old] = ABSENT
        if key != ABSENT:
            stack.key[moment], stack.moment[key] = key, moment
            moment += 1
    stack.counts[NOW] = moment
    stack.tree[:] = 0
    for node in range(1, stack.tree.size):
        if node <= moment:
            stack.tree[node] += stack.charge[stack.key[node - 1]]
        above = node + (node & -node)
        if above < stack.tree.size:
            stack.tree[above] += stack.tree[node]
