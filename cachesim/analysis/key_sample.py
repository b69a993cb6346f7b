"""A smaller trace that behaves like the whole: the requests of some of the keys, chosen by a hash.

Waldspurger, Park, Garthwaite, Ahmad: Efficient MRC construction with SHARDS. FAST 2015.
Waldspurger, Saemundsson, Ahmad, Park: Cache modeling and optimization using miniature simulations. USENIX ATC 2017.

A cache of capacity rate * C sees of the sample what one of capacity C sees of the whole. Whether a key is taken is told
by the last 24 bits of its hash, moved on by an offset that the salt chooses: SQL can tell the same (`sql_condition`).
The sample at a lower rate is part of that at a higher one with the same salt.
"""

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from cachesim.capacity import Capacity
from schemas.errors import ConfigError, TraceError
from schemas.trace import IntArray, Trace

MODULUS = 2**24
MASK = MODULUS - 1


def threshold(rate: float) -> int:
    """Return how many of the MODULUS positions are taken: rate * MODULUS, rounded, at least 1.

    Args:
        rate: share of the keys, in (0, 1].

    Raises:
        ConfigError: the rate is not in (0, 1].
    """
    if not 0 < rate <= 1:
        raise ConfigError(f"the sampling rate must lie in (0, 1], got {rate}")
    return max(1, round(rate * MODULUS))


def offset(salt: int) -> int:
    """Return what the salt, >= 0, adds to the position of every key, in [0, MODULUS); 0 for salt 0."""
    return int(mix(np.array([salt], np.int64))[0]) & MASK


def positions(key_hash: IntArray, salt: int = 0) -> IntArray:
    """Return the position of each hash, in [0, MODULUS); a key is taken when it lies below the threshold.

    Args:
        key_hash: int64 (k,), 64 random bits each.
        salt: >= 0, another one takes other keys.
    """
    return ((key_hash & MASK) + offset(salt)) & MASK


def sql_condition(rate: float, salt: int = 0, column: str = "key_hash") -> str:
    """Return the same choice as an SQL condition on a BIGINT column, for SQLite, MySQL, MariaDB and PostgreSQL.

    Args:
        rate: share of the keys, in (0, 1].
        salt: >= 0.
        column: name of the column, written as it is: never pass what a user typed.

    Raises:
        ConfigError: the rate is not in (0, 1].
    """
    return f"((({column} & {MASK}) + {offset(salt)}) & {MASK}) < {threshold(rate)}"


def mix(codes: IntArray) -> IntArray:
    """Return 64 well mixed bits for each code, 0 for 0: the finaliser of splitmix64.

    Steele, Lea, Flood: Fast splittable pseudorandom number generators. OOPSLA 2014.
    """
    x: NDArray[np.uint64] = codes.astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))).view(np.int64)


def hashed_codes(n_keys: int, salt: int = 0) -> IntArray:
    """Return a hash of each object code in [0, n_keys): int64 (n_keys,), for keys that have none of their own.

    Hashes of different salts, >= 0, are independent, which the offsets of `positions` are not: two spans of the same
    positions overlap or exclude each other.
    """
    return mix(mix(np.arange(1, n_keys + 1, dtype=np.int64)) ^ mix(np.array([salt], np.int64)))


def sample_keys(trace: Trace, rate: float, salt: int = 0, key_hash: IntArray | None = None) -> Trace:
    """Return the requests of a share of the keys, with all columns; object codes are dense again, in the same order.

    Args:
        trace: n requests.
        rate: share of the keys, in (0, 1].
        salt: >= 0, another one takes other keys.
        key_hash: int64 (n_keys,), 64 random bits for each object code, used as they are, so that `sql_condition`
            chooses the same; unset = made from the codes.

    Raises:
        ConfigError: the rate is not in (0, 1], or there is not one hash for each object code.
        TraceError: none of the keys that occur is in the sample.
    """
    if key_hash is not None and key_hash.shape != (trace.n_keys,):
        raise ConfigError(f"key_hash must have one value for each of {trace.n_keys} keys, got shape {key_hash.shape}")
    position = positions(hashed_codes(trace.n_keys, salt)) if key_hash is None else positions(key_hash, salt)
    kept = (position < threshold(rate))[trace.key]
    if not kept.any():
        raise TraceError(f"no key of {trace.distinct_keys} is in the sample at rate {rate}: take a higher rate")
    columns = {f.name: getattr(trace, f.name) for f in fields(trace)}
    columns |= {name: column[kept] for name, column in columns.items() if isinstance(column, np.ndarray)}
    distinct, columns["key"] = np.unique(columns["key"], return_inverse=True)
    return Trace(**(columns | {"n_keys": distinct.size}))


def scaled(capacity: Capacity, rate: float) -> Capacity:
    """Return the capacity that suits a sample: rate * limit, rounded, at least 1.

    Raises:
        ConfigError: the rate is not in (0, 1].
    """
    threshold(rate)
    return Capacity(max(1, int(rate * capacity.limit + 0.5)), capacity.unit)


def adjusted_hit_ratio(sampled_misses: int, rate: float, requests: int) -> float | None:
    """Return the hit ratio of the whole that a replay of a sample tells, in [0, 1]; None without requests.

    A very hot key in the sample, or missing there, makes its number of requests differ from the expected rate *
    requests. Nearly all requests of such a key hit, so that misses / expected requests errs less than misses / sampled
    requests (SHARDS-adj, section 4.4 of the paper of 2015).

    Args:
        sampled_misses: misses of the judged requests of the sample.
        rate: share of the keys, in (0, 1].
        requests: how many requests of the whole are judged.

    Raises:
        ConfigError: the rate is not in (0, 1].
    """
    expected = requests * threshold(rate) / MODULUS
    return min(1.0, max(0.0, 1.0 - sampled_misses / expected)) if expected else None
