"""Sampled eviction: the cache whose victim is chosen among the incoming object and a few random residents.

One compiled kernel serves training, evaluation and service. It holds a batch of independent caches that read the same
stream of requests, each at its own position: 64 of them are a vectorised environment, one of them is a replay.

    while advance(...):        # hits, and misses that fit, until a miss that does not
        sample(...)            # candidate 0 is the incoming object, the others are random residents
        ... choose one ...
        resolve(...)           # drop it; with byte capacity this may have to be repeated

Source of the formulation: sampled eviction as in LRB (Song et al., NSDI 2020) and Hyperbolic caching (Blankstein et
al., USENIX ATC 2017); here the incoming object is a candidate too, so that refusing it is one of the choices.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.capacity import Capacity
from cachesim.compiled import allocating_kernel, kernel
from cachesim.features import (
    HALF_LIVES_PER_CAPACITY,
    HIT_STEP,
    Float32Array,
    Normaliser,
    copy_row,
    observe,
    request_history,
    transform,
)
from schemas.trace import FloatArray, IntArray, Trace

INCOMING = -1  # stands for the incoming object where a slot is expected
ADMISSIONS, EVICTIONS, REJECTIONS = range(3)
HISTORY_MULTIPLE = 8  # keys remembered beside the residents, in capacities of objects


class Stream(NamedTuple):
    """What all caches of a batch read.

    Attributes:
        key: int64 (n,), object codes.
        charge: int64 (n,), what an object takes of the capacity.
        history: float32 (n, h), see `features.request_history`.
        half_lives: float64 (4,), of the decayed counts, in requests.
        limit: capacity, in the unit of `charge`.
    """

    key: IntArray
    charge: IntArray
    history: Float32Array
    half_lives: FloatArray
    limit: int


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
    random: NDArray[np.uint64]  # (b,) state of the generator that samples candidates
    counts: IntArray  # (b, 3) admissions, evictions, rejections


class Scorer(NamedTuple):
    """The network as arrays: f -> h -> h -> 1 with ReLU; the candidate with the highest score is dropped."""

    normaliser: Normaliser
    first: Float32Array  # (f, h)
    first_bias: Float32Array  # (h,)
    second: Float32Array  # (h, h)
    second_bias: Float32Array  # (h,)
    last: Float32Array  # (h,)
    last_bias: Float32Array  # (1,)


def remembered_keys(capacity_objects: float, history_multiple: int = HISTORY_MULTIPLE) -> int:
    """Return of how many keys the history is kept: the residents, and `history_multiple` capacities of others."""
    return int(np.ceil((1 + history_multiple) * capacity_objects))


def build_stream(trace: Trace, capacity: Capacity, training: int, history_multiple: int = HISTORY_MULTIPLE) -> Stream:
    """Prepare a trace for sampled eviction.

    Args:
        trace: the requests.
        capacity: of the cache.
        training: length of the training span: means that stand in for missing values come from it alone.
        history_multiple: keys remembered, in capacities of objects, residents not counted; >= 1.
    """
    objects = capacity.mean_objects(trace[:training])
    history = request_history(trace, training, objects, remembered_keys(objects, history_multiple))
    half_lives = np.array(HALF_LIVES_PER_CAPACITY) * objects
    return Stream(trace.key, capacity.charges(trace), history, half_lives, capacity.limit)


def create_caches(stream: Stream, n_keys: int, batch: int, seed: int) -> Caches:
    """Return `batch` empty caches at position 0."""
    slots = _most_residents(stream, n_keys)
    per_slot = np.zeros((batch, slots), np.int64)
    per_cache = np.zeros(batch, np.int64)
    return Caches(
        slot_of=np.full((batch, n_keys), -1, np.int32),
        key=per_slot,
        last=per_slot.copy(),
        admitted=per_slot.copy(),
        charge=per_slot.copy(),
        history=np.zeros((batch, slots, stream.history.shape[1]), np.float32),
        residents=per_cache,
        used=per_cache.copy(),
        position=per_cache.copy(),
        hit_ratio=np.zeros(batch),
        random=random_states(seed, batch),
        counts=np.zeros((batch, 3), np.int64),
    )


def random_states(seed: int, batch: int) -> NDArray[np.uint64]:
    """Return one state a cache of the generator that samples candidates, none of them 0."""
    return np.random.SeedSequence(seed).generate_state(batch, np.uint64) | np.uint64(1)


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
            caches.last[b, slot] = t
            copy_row(stream.history[t], caches.history[b, slot])
            if hit.size:
                hit[t] = True
        elif stream.charge[t] > stream.limit:
            caches.counts[b, REJECTIONS] += 1
        elif caches.used[b] + stream.charge[t] <= stream.limit:
            admit(caches, b, stream)
        else:
            return True
        _next(caches, b, slot >= 0)
    return False


@kernel
def _next(caches, b, hit):  # type: ignore[no-untyped-def]
    """Count the request that cache b has served as a hit or a miss, and go on to the one after it."""
    caches.hit_ratio[b] += HIT_STEP * (hit - caches.hit_ratio[b])
    caches.position[b] += 1


@kernel
def admit(caches, b, stream):  # type: ignore[no-untyped-def]
    """Make the object of the current request a resident of cache b."""
    t = caches.position[b]
    slot = caches.residents[b]
    caches.slot_of[b, stream.key[t]] = slot
    caches.key[b, slot] = stream.key[t]
    caches.last[b, slot] = t
    caches.admitted[b, slot] = t
    caches.charge[b, slot] = stream.charge[t]
    copy_row(stream.history[t], caches.history[b, slot])
    caches.residents[b] += 1
    caches.used[b] += stream.charge[t]
    caches.counts[b, ADMISSIONS] += 1


@kernel
def evict(caches, b, slot):  # type: ignore[no-untyped-def]
    """Remove the resident of a slot of cache b; the last resident moves into its slot."""
    caches.slot_of[b, caches.key[b, slot]] = -1
    caches.used[b] -= caches.charge[b, slot]
    caches.counts[b, EVICTIONS] += 1
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
def resolve(caches, b, stream, slot):  # type: ignore[no-untyped-def]
    """Drop a candidate of cache b: a resident, or the incoming object. Serves the request when it then fits."""
    t = caches.position[b]
    if slot == INCOMING:
        caches.counts[b, REJECTIONS] += 1
    else:
        evict(caches, b, slot)
        if caches.used[b] + stream.charge[t] > stream.limit:
            return
        admit(caches, b, stream)
    _next(caches, b, False)


@kernel
def sample(caches, b, candidates):  # type: ignore[no-untyped-def]
    """Fill `candidates` (k,) with slots: the incoming object, then random residents (all of them, when few)."""
    candidates[0] = INCOMING
    residents = caches.residents[b]
    for j in range(1, candidates.size):
        if residents < candidates.size:
            candidates[j] = (j - 1) % residents
            continue
        x = caches.random[b]  # xorshift64 (Marsaglia 2003)
        x ^= x << np.uint64(13)
        x ^= x >> np.uint64(7)
        x ^= x << np.uint64(17)
        caches.random[b] = x
        candidates[j] = np.int64((x >> np.uint64(33)) % np.uint64(residents))


@kernel
def observe_candidates(caches, b, stream, candidates, normaliser, out):  # type: ignore[no-untyped-def]
    """Write the features of the candidates of cache b, transformed by `normaliser`, to `out` (k, f)."""
    t = caches.position[b]
    hit_ratio = caches.hit_ratio[b]
    for j in range(candidates.size):
        slot = candidates[j]
        if slot == INCOMING:
            observe(stream.history[t], 0, 0, hit_ratio, stream.half_lives, out[j])
        else:
            age, held = t - caches.last[b, slot], t - caches.admitted[b, slot]
            observe(caches.history[b, slot], age, held, hit_ratio, stream.half_lives, out[j])
        transform(out[j], normaliser)


@kernel
def score(scorer, rows, hidden, scores):  # type: ignore[no-untyped-def]
    """Write the scores of transformed feature rows (k, f) to `scores` (k,); `hidden` (2, h) is working memory."""
    width = scorer.last.size
    for j in range(rows.shape[0]):
        for o in range(width):
            hidden[0, o] = scorer.first_bias[o]
            hidden[1, o] = scorer.second_bias[o]
        for i in range(rows.shape[1]):
            x = rows[j, i]
            for o in range(width):
                hidden[0, o] += x * scorer.first[i, o]
        for i in range(width):
            x = max(hidden[0, i], np.float32(0))
            for o in range(width):
                hidden[1, o] += x * scorer.second[i, o]
        total = scorer.last_bias[0]
        for i in range(width):
            total += max(hidden[1, i], np.float32(0)) * scorer.last[i]
        scores[j] = total


@allocating_kernel
def score_raw(scorer, raw):  # type: ignore[no-untyped-def]
    """Return the scores (n,) of raw feature rows (n, f), as the replay computes them."""
    rows = raw.copy()
    for j in range(rows.shape[0]):
        transform(rows[j], scorer.normaliser)
    scores = np.empty(rows.shape[0], np.float32)
    score(scorer, rows, np.empty((2, scorer.last.size), np.float32), scores)
    return scores


@allocating_kernel
def replay_until(caches, b, stream, end, scorer, n_candidates, hit):  # type: ignore[no-untyped-def]
    """Run cache b to position `end` with the scorer in charge, marking hits in `hit`."""
    candidates = np.empty(n_candidates, np.int64)
    rows = np.empty((n_candidates, scorer.first.shape[0]), np.float32)
    hidden = np.empty((2, scorer.last.size), np.float32)
    scores = np.empty(n_candidates, np.float32)
    while advance(caches, b, stream, end, hit):
        sample(caches, b, candidates)
        observe_candidates(caches, b, stream, candidates, scorer.normaliser, rows)
        score(scorer, rows, hidden, scores)
        resolve(caches, b, stream, candidates[np.argmax(scores)])
