"""Sampled eviction: the cache whose victim is chosen among the incoming object and a few random residents.

The same compiled kernels train, evaluate and serve. They hold a batch of independent caches that read the same stream
of requests, each at its own position: 64 of them are a vectorised environment, one of them is a replay.

    while advance(...):        # hits, and misses that fit, until a miss that does not
        sample(...)            # candidate 0 is the incoming object, the others are random residents
        ... choose one ...
        resolve(...)           # drop it; with byte capacity this may have to be repeated

A cache without a stream, which is told of one request at a time, makes the same steps with that request's key, charge
and history row: `touch` for a hit; for a miss `enter`, and `drop` what `choose` says until the object is in or refused;
then `count`.

Source of the formulation: sampled eviction as in LRB (Song et al., NSDI 2020) and Hyperbolic caching (Blankstein et
al., USENIX ATC 2017); here the incoming object is a candidate too, so that refusing it is one of the choices.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.capacity import Capacity
from cachesim.compiled import allocating_kernel, inner_kernel, kernel
from cachesim.eviction.scorer import score, workspace
from cachesim.features.history import Fitted, fit, request_history
from cachesim.features.table import HIT_STEP, Float32Array, copy_row, half_lives, observe, transform
from cachesim.structures.random_numbers import RandomState, below, random_states
from schemas.trace import FloatArray, IntArray, Trace

INCOMING = -1  # stands for the incoming object where a slot is expected
ADMISSIONS, EVICTIONS, REJECTIONS = range(3)
HISTORY_MULTIPLE = 8  # keys remembered beside the residents, in capacities of objects


class Stream(NamedTuple):
    """What all caches of a batch read.

    Attributes:
        key: int64 (n,), object codes.
        charge: int64 (n,), what an object takes of the capacity.
        history: float32 (n, h), see `history.request_history`.
        half_lives: float64 (4,), of the decayed counts, in requests.
        limit: capacity, in the unit of `charge`.
        stride: how many requests of all keys one of these stands for, >= 1: ages are told in those.
    """

    key: IntArray
    charge: IntArray
    history: Float32Array
    half_lives: FloatArray
    limit: int
    stride: float


class Caches(NamedTuple):
    """A batch of b caches of at most s residents. A resident occupies a slot in [0, residents)."""

    slot_of: NDArray[np.int32]  # (b, n_keys), -1 when not resident
    key: IntArray  # (b, s)
    last: IntArray  # (b, s) position of the latest request
    admitted: IntArray  # (b, s) position of the admission
    charge: IntArray  # (b, s)
    history: Float32Array  # (b, s, h) history row of the latest request
    residents: IntArray  # (b,)
    used: IntArray  # (b,) sum of the residents' charges
    position: IntArray  # (b,) request to be served next
    hit_ratio: FloatArray  # (b,) moving
    random: RandomState  # (b,) state of the generator that samples candidates
    counts: IntArray  # (b, 3) admissions, evictions, rejections


def remembered_keys(capacity_objects: float, history_multiple: int = HISTORY_MULTIPLE) -> int:
    """Return of how many keys the history is kept: the residents, and `history_multiple` capacities of others."""
    return int(np.ceil((1 + history_multiple) * capacity_objects))


def build_stream(
    trace: Trace,
    capacity: Capacity,
    training: int,
    history_multiple: int = HISTORY_MULTIPLE,
    key_sample: float = 1.0,
) -> Stream:
    """Prepare a trace whose first `training` requests are the training span; see `stream_of`."""
    return stream_of(trace, capacity, fit(trace[:training], capacity), history_multiple, key_sample)


def stream_of(
    trace: Trace,
    capacity: Capacity,
    fitted: Fitted,
    history_multiple: int = HISTORY_MULTIPLE,
    key_sample: float = 1.0,
) -> Stream:
    """Prepare a trace for sampled eviction.

    Args:
        trace: the requests, of all keys or of a sample of them.
        capacity: of the cache that they are sent through.
        fitted: to the training span, for a cache of this capacity.
        history_multiple: keys remembered, in capacities of objects, residents not counted; >= 1.
        key_sample: the share of the keys that the trace holds, in (0, 1]; the capacity is scaled by it. Ages, gaps and
            half-lives are those of the whole, so that what is learned from a sample serves the whole.
    """
    stride = 1 / key_sample
    objects, remembered = fitted.objects * stride, remembered_keys(fitted.objects, history_multiple)
    history = request_history(trace, fitted.missing, objects, remembered, stride)
    return Stream(trace.key, capacity.charges(trace), history, half_lives(objects), capacity.limit, stride)


def create_caches(stream: Stream, n_keys: int, batch: int, seed: int) -> Caches:
    """Return `batch` empty caches at position 0 of `stream`, whose keys are codes in [0, n_keys)."""
    return empty_caches(n_keys, _most_residents(stream, n_keys), stream.history.shape[1], batch, seed)


def empty_caches(n_keys: int, slots: int, history_width: int, batch: int, seed: int) -> Caches:
    """Return `batch` empty caches.

    Args:
        n_keys: keys are codes in [0, n_keys).
        slots: how many residents there can be.
        history_width: length of a history row.
        batch: how many caches.
        seed: of the candidates that they will draw.
    """
    per_slot = np.zeros((batch, slots), np.int64)
    per_cache = np.zeros(batch, np.int64)
    return Caches(
        slot_of=np.full((batch, n_keys), -1, np.int32),
        key=per_slot,
        last=per_slot.copy(),
        admitted=per_slot.copy(),
        charge=per_slot.copy(),
        history=np.zeros((batch, slots, history_width), np.float32),
        residents=per_cache,
        used=per_cache.copy(),
        position=per_cache.copy(),
        hit_ratio=np.zeros(batch),
        random=random_states(seed, batch),
        counts=np.zeros((batch, 3), np.int64),
    )


def _most_residents(stream: Stream, n_keys: int) -> int:
    """Return how many objects can be resident at once: as many of the smallest as fit."""
    smallest = np.full(n_keys, np.iinfo(np.int64).max)
    np.minimum.at(smallest, stream.key, stream.charge)
    requested = np.sort(smallest[smallest < np.iinfo(np.int64).max])
    return max(1, int(np.searchsorted(np.cumsum(requested), stream.limit, side="right")))


@kernel
def advance(caches, b, stream, end, hit):  # type: ignore[no-untyped-def]
    """Serve requests of cache b until a miss that does not fit (True) or the position `end` (False).

    Marks hits in the bool array `hit` (n,) unless it is empty.
    """
    while caches.position[b] < end:
        t = caches.position[b]
        slot = caches.slot_of[b, stream.key[t]]
        if slot >= 0:
            touch(caches, b, slot, stream.history[t])
            if hit.size:
                hit[t] = True
        elif not enter(caches, b, stream.key[t], stream.charge[t], stream.history[t], stream.limit):
            return True
        count(caches, b, slot >= 0)
    return False


@kernel
def resolve(caches, b, stream, slot):  # type: ignore[no-untyped-def]
    """Drop a candidate of cache b: a resident, or the incoming object. Serves the request when it then fits."""
    t = caches.position[b]
    if drop(caches, b, slot) or enter(caches, b, stream.key[t], stream.charge[t], stream.history[t], stream.limit):
        count(caches, b, False)


@inner_kernel
def touch(caches, b, slot, row):  # type: ignore[no-untyped-def]
    """Note that the resident of a slot of cache b is requested now, with the history row `row`."""
    caches.last[b, slot] = caches.position[b]
    copy_row(row, caches.history[b, slot])


@inner_kernel
def enter(caches, b, key, charge, row, limit):  # type: ignore[no-untyped-def]
    """Admit the object that cache b missed if it fits, refuse it if it never will; return whether that settled it."""
    if charge > limit:
        caches.counts[b, REJECTIONS] += 1
        return True
    if caches.used[b] + charge > limit:
        return False
    slot = caches.residents[b]
    caches.slot_of[b, key] = slot
    caches.key[b, slot] = key
    caches.admitted[b, slot] = caches.position[b]
    caches.charge[b, slot] = charge
    touch(caches, b, slot, row)
    caches.residents[b] += 1
    caches.used[b] += charge
    caches.counts[b, ADMISSIONS] += 1
    return True


@inner_kernel
def drop(caches, b, slot):  # type: ignore[no-untyped-def]
    """Evict the resident of a slot of cache b, or refuse the incoming object; return whether it was the latter."""
    if slot == INCOMING:
        caches.counts[b, REJECTIONS] += 1
        return True
    remove(caches, b, slot)
    caches.counts[b, EVICTIONS] += 1
    return False


@kernel
def remove(caches, b, slot):  # type: ignore[no-untyped-def]
    """Take the resident of a slot out of cache b, uncounted; the last resident moves into its slot."""
    caches.slot_of[b, caches.key[b, slot]] = -1
    caches.used[b] -= caches.charge[b, slot]
    caches.residents[b] -= 1
    moved = caches.residents[b]
    if slot != moved:
        caches.key[b, slot] = caches.key[b, moved]
        caches.last[b, slot] = caches.last[b, moved]
        caches.admitted[b, slot] = caches.admitted[b, moved]
        caches.charge[b, slot] = caches.charge[b, moved]
        copy_row(caches.history[b, moved], caches.history[b, slot])
        caches.slot_of[b, caches.key[b, slot]] = slot


@kernel
def count(caches, b, hit):  # type: ignore[no-untyped-def]
    """Count the request that cache b has served as a hit or a miss, and go on to the one after it."""
    caches.hit_ratio[b] += HIT_STEP * (hit - caches.hit_ratio[b])
    caches.position[b] += 1


@kernel
def sample(caches, b, candidates):  # type: ignore[no-untyped-def]
    """Fill `candidates` (k,) with slots: the incoming object, then random residents (all of them, when few)."""
    candidates[0] = INCOMING
    residents = caches.residents[b]
    for j in range(1, candidates.size):
        if residents < candidates.size:
            candidates[j] = (j - 1) % residents
        else:
            candidates[j] = below(caches.random, b, residents)


@kernel
def observe_candidates(caches, b, row, half_lives, stride, candidates, normaliser, out):  # type: ignore[no-untyped-def]
    """Write the features of the candidates of cache b, transformed by `normaliser`, to `out` (k, >= f).

    `row` is the history row of the incoming object, `half_lives` and `stride` are those of the stream.
    """
    t = caches.position[b]
    hit_ratio = caches.hit_ratio[b]
    for j in range(candidates.size):
        slot = candidates[j]
        if slot == INCOMING:
            observe(row, 0, 0, hit_ratio, half_lives, out[j])
        else:
            age, held = stride * (t - caches.last[b, slot]), stride * (t - caches.admitted[b, slot])
            observe(caches.history[b, slot], age, held, hit_ratio, half_lives, out[j])
        transform(out[j], normaliser)


@inner_kernel
def choose(caches, b, row, half_lives, stride, scorer, work):  # type: ignore[no-untyped-def]
    """Return the slot of the candidate that the scorer drops, or INCOMING; `row` is that of the incoming object."""
    sample(caches, b, work.candidates)
    observe_candidates(caches, b, row, half_lives, stride, work.candidates, scorer.normaliser, work.rows)
    score(scorer, work.rows, work.hidden, work.scores)
    return work.candidates[np.argmax(work.scores)]


@allocating_kernel
def replay_until(caches, b, stream, end, scorer, n_candidates, hit):  # type: ignore[no-untyped-def]
    """Run cache b to position `end` with the scorer in charge, marking hits in `hit` unless it is empty."""
    _replay_until(caches, b, stream, end, scorer, workspace(scorer, n_candidates), hit)


@inner_kernel
def _replay_until(caches, b, stream, end, scorer, work, hit):  # type: ignore[no-untyped-def]
    while advance(caches, b, stream, end, hit):
        row = stream.history[caches.position[b]]
        resolve(caches, b, stream, choose(caches, b, row, stream.half_lives, stream.stride, scorer, work))
