"""LRU curves of a sample of the keys: a large trace's curve in little memory.

Waldspurger, Park, Garthwaite, Ahmad: Efficient MRC construction with SHARDS. FAST 2015.

Keys are taken by hash; a stack distance in the sample stands for one 1 / rate as large. With a limit on the sampled
keys, those whose hash is the largest are dropped, and the rate falls with them. The paper then rescales the counts so
far by new rate / old rate and divides by new rate * requests; a count of 1 / (rate at that request), divided by the
requests, is the same without rescaling. What the sample has too many or too few of requests is put on its shortest
distance (SHARDS-adj), since it comes from very hot keys.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cachesim.analysis.key_sample import MODULUS, hashed_codes, positions, threshold
from cachesim.analysis.lru_curve import (
    ABSENT,
    NO_HITS,
    Curve,
    Stack,
    check_start,
    empty_stack,
    forget,
    merged,
    request,
    spans,
)
from cachesim.capacity import Capacity, Unit
from cachesim.compiled import kernel
from cachesim.requests import fixed
from cachesim.structures.heap import Heap, empty_heap, pop, put, top
from schemas.errors import ConfigError, TraceError
from schemas.trace import FloatArray, IntArray, Trace

THRESHOLD, LIMIT, FREE = range(3)  # indices of Sample.counts


def sampled_lru_curve(
    trace: Trace,
    unit: Unit = "objects",
    start: int = 0,
    rate: float = 1.0,
    max_keys: int | None = None,
    salt: int = 0,
) -> Curve:
    """Return an estimate of `curves.lru_curve`.

    It says nothing about capacities below 1 / rate at the end. Memory is O(max_keys), or O(rate * n_keys) without a
    limit, beside a few numbers for each object code.

    Args:
        trace: n requests.
        unit: of the capacities.
        start: requests before this index only warm the cache; in [0, n).
        rate: share of the keys to begin with, in (0, 1].
        max_keys: the most keys to sample at a time, >= 1; the rate falls to keep to it. Unset = the rate is fixed.
        salt: >= 0, another one takes other keys.

    Returns:
        The curve, with the rate at the end and the keys in the sample then.

    Raises:
        TraceError: there are no requests, or none from `start` on is in the sample.
        ConfigError: an argument is outside its range.
    """
    check_start(trace, start)
    sample, hits, sampled = _empty_sample(trace.n_keys, rate, max_keys, salt), NO_HITS, np.zeros(2)
    for span in spans(trace):
        part = trace[span]
        distance, weight = _measured(sample, part, unit)
        judged = slice(max(0, start - span.start), None)
        distance, weight, size_bytes = distance[judged], weight[judged], part.size_bytes[judged]
        sampled += weight.sum(), weight @ size_bytes
        hits = merged(hits, distance, weight, size_bytes)
    if not sampled[0]:
        raise TraceError(f"no request from {start} on is in the sample at rate {rate}: take a higher rate or more keys")
    totals = np.array([len(trace) - start, trace.size_bytes[start:].sum()], np.float64)
    return Curve(
        unit=unit,
        capacities=hits.distance,
        hit_ratios=_adjusted(hits.requests, totals[0] - sampled[0], totals[0]),
        byte_hit_ratios=_adjusted(hits.bytes, totals[1] - sampled[1], totals[1]),
        requests=len(trace) - start,
        rate=int(sample.counts[THRESHOLD]) / MODULUS,
        sampled_keys=int(sample.by_position.size[0]),
    )


def mean_absolute_error(estimate: Curve, exact: Curve, capacities: ArrayLike) -> float:
    """Return the mean over capacities of the absolute difference of two curves' hit ratios.

    Args:
        estimate, exact: curves in the same unit.
        capacities: shape (k,), k >= 1, each >= 1.

    Raises:
        ConfigError: the units differ, or there is no capacity, or one below 1.
    """
    if estimate.unit != exact.unit:
        raise ConfigError(f"compare curves in one unit, got {estimate.unit} and {exact.unit}")
    if np.size(capacities) == 0:
        raise ConfigError("compare curves at one capacity at least, got none")
    return float(np.abs(estimate.hit_ratio_at(capacities) - exact.hit_ratio_at(capacities)).mean())


def _adjusted(counts: FloatArray, missing: float, total: float) -> FloatArray:
    """Return the cumulative share of `total`; what is missing, or below 0 too much, is put on the first count."""
    shares: FloatArray = np.maximum.accumulate(np.clip((missing + np.cumsum(counts)) / total, 0.0, 1.0))
    return shares


class Sample(NamedTuple):
    """The sampled keys, each in a slot, by their last requests and by their hashes.

    Attributes:
        position: int32 (n_keys,), see `keysample.positions`.
        slot: int32 (n_keys,), of each object, or ABSENT.
        key: int32 (n_slots,), the object in each slot that is in use.
        free: int32 (n_slots,), the first counts[FREE] are slots that are not in use.
        stack: the slots in order of their last requests.
        by_position: the slots in use, the last position on top.
        counts: int64 (3,): the threshold, the most keys to sample, and the number of free slots.
    """

    position: NDArray[np.int32]
    slot: NDArray[np.int32]
    key: NDArray[np.int32]
    free: NDArray[np.int32]
    stack: Stack
    by_position: Heap
    counts: IntArray


def _empty_sample(n_keys: int, rate: float, max_keys: int | None, salt: int) -> Sample:
    if max_keys is not None and max_keys < 1:
        raise ConfigError(f"a sample must hold at least 1 key, got max_keys {max_keys}")
    position = positions(hashed_codes(n_keys, salt)).astype(np.int32)
    candidates = int(np.count_nonzero(position < threshold(rate)))
    limit = candidates if max_keys is None else min(candidates, max_keys)
    n_slots = limit + 1  # one more while a key is being dropped
    return Sample(
        position=position,
        slot=np.full(n_keys, ABSENT, np.int32),
        key=np.zeros(n_slots, np.int32),
        free=np.arange(n_slots, dtype=np.int32),
        stack=empty_stack(n_slots),
        by_position=empty_heap(n_slots),
        counts=np.array([threshold(rate), limit, n_slots]),
    )


def _measured(sample: Sample, part: Trace, unit: Unit) -> tuple[IntArray, FloatArray]:
    """Return the estimated stack distance of each request, and how many requests it stands for; 0, 0 = not sampled."""
    distance, above = np.zeros(len(part), np.int64), np.zeros(len(part), np.int64)
    _sample_all(sample, fixed(part.key), fixed(Capacity(1, unit).charges(part)), distance, above)
    weight = np.divide(MODULUS, above, out=np.zeros(len(part)), where=above > 0)
    return np.rint(distance * weight).astype(np.int64), weight


@kernel
def _sample_all(sample: Sample, keys: IntArray, charges: IntArray, distance: IntArray, above: IntArray) -> None:
    """Serve requests in order; write the stack distance in the sample, and the threshold at that time.

    Both stay 0 for a request that is not in the sample, the distance also for the first one of its object.
    """
    for i in range(keys.size):
        if sample.position[keys[i]] < sample.counts[THRESHOLD]:
            above[i] = sample.counts[THRESHOLD]
            distance[i] = _serve(sample, keys[i], charges[i])


@kernel
def _serve(sample: Sample, key: int, charge: int) -> int:
    if sample.slot[key] == ABSENT:
        sample.counts[FREE] -= 1
        slot = sample.free[sample.counts[FREE]]
        sample.slot[key], sample.key[slot] = slot, key
        put(sample.by_position, slot, -sample.position[key])
    distance = request(sample.stack, sample.slot[key], charge)
    if sample.by_position.size[0] > sample.counts[LIMIT]:
        _lower_threshold(sample)
    return int(distance)


@kernel
def _lower_threshold(sample: Sample) -> None:
    """Drop the key of the last position, and those at the same one."""
    heap = sample.by_position
    sample.counts[THRESHOLD] = sample.position[sample.key[top(heap)]]
    while heap.size[0] > 0 and sample.position[sample.key[top(heap)]] >= sample.counts[THRESHOLD]:
        slot = pop(heap)
        forget(sample.stack, slot)
        sample.slot[sample.key[slot]] = ABSENT
        sample.free[sample.counts[FREE]] = slot
        sample.counts[FREE] += 1
