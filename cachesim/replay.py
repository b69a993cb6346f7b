"""Replay a trace through a cache with a named policy."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cachesim.capacity import Capacity
from cachesim.oracle import next_request
from cachesim.policies import belady, fifo, lfu, lru, s3_fifo, two_q
from cachesim.policies.ledger import (
    ADMISSIONS,
    EVICTION_AGE_SUM,
    EVICTIONS,
    REJECTIONS,
    RESIDENTS,
    USED,
    Ledger,
)
from schemas.errors import ConfigError
from schemas.names import nearest
from schemas.trace import IntArray, Trace

BASELINES = ("lru", "fifo", "lfu", "s3-fifo", "2q")
BOUNDS = ("belady",)
POLICIES: dict[str, ModuleType] = {
    "lru": lru,
    "fifo": fifo,
    "lfu": lfu,
    "s3-fifo": s3_fifo,
    "2q": two_q,
    "belady": belady,
}


@dataclass(frozen=True)
class Outcome:
    """What became of n requests.

    Attributes:
        hit: shape (n,), which ones hit.
        admissions, evictions: how often an object was admitted, evicted.
        rejections: misses that were not admitted: too large, or refused by the policy.
        mean_eviction_age_requests: requests from an object's last one to its eviction; NaN without evictions.
        resident_objects, resident_charge: what the cache held at the end, in objects and in the unit of the capacity.
    """

    hit: NDArray[np.bool_]
    admissions: int
    evictions: int
    rejections: int
    mean_eviction_age_requests: float
    resident_objects: int
    resident_charge: int


def replay(trace: Trace, policy: str, capacity: Capacity) -> Outcome:
    """Send the requests of `trace` through an empty cache.

    Args:
        trace: n requests.
        policy: a name in POLICIES.
        capacity: what the cache holds.

    Raises:
        ConfigError: there is no such policy.
    """
    state = begin(trace, policy, capacity)
    hit = np.zeros(len(trace), np.bool_)
    POLICIES[policy].replay(state, _fixed(trace.key), _fixed(capacity.charges(trace)), hit)
    return _outcome(hit, state.ledger)


def begin(trace: Trace, policy: str, capacity: Capacity) -> Any:
    """Return the state of an empty cache before the first request of `trace`, for `POLICIES[policy].access`.

    Raises:
        ConfigError: there is no such policy.
    """
    if policy not in POLICIES:
        raise ConfigError(f"unknown policy {policy}{nearest(policy, list(POLICIES))}")
    if policy in BOUNDS:
        return POLICIES[policy].start(trace.n_keys, capacity.limit, next_request(trace.key, trace.n_keys))
    return POLICIES[policy].start(trace.n_keys, capacity.limit)


def _fixed(column: IntArray) -> IntArray:
    """Return `column` contiguous and read-only: Numba compiles a kernel again for any other layout."""
    column = np.ascontiguousarray(column).view()
    column.flags.writeable = False
    return column


def _outcome(hit: NDArray[np.bool_], ledger: Ledger) -> Outcome:
    counts = ledger.counts.tolist()
    return Outcome(
        hit=hit,
        admissions=counts[ADMISSIONS],
        evictions=counts[EVICTIONS],
        rejections=counts[REJECTIONS],
        mean_eviction_age_requests=counts[EVICTION_AGE_SUM] / counts[EVICTIONS] if counts[EVICTIONS] else float("nan"),
        resident_objects=counts[RESIDENTS],
        resident_charge=counts[USED],
    )
