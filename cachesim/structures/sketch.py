"""A counting Bloom filter: how often each object was counted, in a table of fixed size that never says too little.

Fan, Cao, Almeida, Broder: Summary cache. IEEE/ACM Transactions on Networking 8 (3), 2000. The positions are made
of two hashes as in Kirsch, Mitzenmacher: Less hashing, same performance. ESA 2006.

Hash, number of counters and their use are libCacheSim's: estimates that collide decide much of what W-TinyLFU does, so
that any other hash moves hit ratios by up to .01.
"""

from math import ceil, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel, kernel

POSITIONS = 10  # counters of an object; with COUNTERS_EACH, one estimate in 1,000 is wrong among as many objects
COUNTERS_EACH = -log(0.001) / log(2) ** 2  # 14.4
MOST_COUNTERS = 1 << 22  # 16 MiB; exceeded by more than 290,000 objects, which then share what there is

_LOW = np.uint64(0xFFFFFFFF)
_SEEDS = (0x12345678, 0x12344321)
_PRIMES = tuple(
    np.uint64(prime)
    for prime in (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    )
)


class Sketch(NamedTuple):
    """The table.

    Attributes:
        counters: uint32 (n_counters,).
        since_halving: int64 (1,), events since the counts were last halved; the policy says which.
    """

    counters: NDArray[np.uint32]
    since_halving: NDArray[np.int64]


def empty_sketch(n_objects: int) -> Sketch:
    """Return a table that tells about `n_objects` >= 0 objects well from each other."""
    n_counters = min(max(2 * POSITIONS, ceil(COUNTERS_EACH * n_objects)), MOST_COUNTERS)
    return Sketch(np.zeros(n_counters, np.uint32), np.zeros(1, np.int64))


@inner_kernel
def _rotated(x: np.uint64, bits: int) -> np.uint64:
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))


@inner_kernel
def _xxh64(name: int, seed: int) -> np.uint64:
    """Return XXH64 (Collet: xxHash fast digest algorithm, specification 0.1.1) of the eight bytes of `name`."""
    hashed = np.uint64(seed) + _PRIMES[4] + np.uint64(8)
    hashed ^= _rotated(np.uint64(name) * _PRIMES[1], 31) * _PRIMES[0]
    hashed = _rotated(hashed, 27) * _PRIMES[0] + _PRIMES[3]
    hashed = (hashed ^ (hashed >> np.uint64(33))) * _PRIMES[1]
    hashed = (hashed ^ (hashed >> np.uint64(29))) * _PRIMES[2]
    return np.uint64(hashed ^ (hashed >> np.uint64(32)))


@inner_kernel
def _first_and_step(name: int) -> tuple[np.uint64, np.uint64]:
    """Return two hashes of 32 bits, of which all positions are made; in libCacheSim names begin with 1."""
    return _xxh64(name + 1, _SEEDS[0]) & _LOW, _xxh64(name + 1, _SEEDS[1]) & _LOW


@inner_kernel
def _position(sketch: Sketch, first: np.uint64, step: np.uint64, j: int) -> int:
    return int(np.int64(np.uint32((first + np.uint64(j) * step) & _LOW) % np.uint32(sketch.counters.size)))


@kernel
def count(sketch: Sketch, name: int) -> None:
    """Count an object once."""
    first, step = _first_and_step(name)
    for j in range(POSITIONS):
        sketch.counters[_position(sketch, first, step, j)] += np.uint32(1)


@kernel
def estimate(sketch: Sketch, name: int) -> int:
    """Return how often an object was counted: the smallest of its counters."""
    first, step = _first_and_step(name)
    smallest = sketch.counters[_position(sketch, first, step, 0)]
    for j in range(1, POSITIONS):
        smallest = min(smallest, sketch.counters[_position(sketch, first, step, j)])
    return int(np.int64(smallest))


@kernel
def halve(sketch: Sketch) -> None:
    """Halve every counter, rounding down."""
    sketch.since_halving[0] = 0
    for position in range(sketch.counters.size):
        sketch.counters[position] >>= np.uint32(1)
