"""Replay a trace through a cache with a named policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cachesim.capacity import Capacity
from cachesim.oracle import next_request
from cachesim.policies import (
    adapt_size,
    arc,
    clock,
    fifo,
    gdsf,
    hyperbolic,
    learned,
    lfu,
    lfu_aging,
    lhd,
    lirs,
    lru,
    random,
    s3_fifo,
    sieve,
    slru,
    two_q,
    w_tinylfu,
)
from cachesim.policies.expiry import sliding_ttl, ttl
from cachesim.policies.guard import guarded
from cachesim.policies.optimal import belady, min_bypass
from cachesim.policies.parts.ledger import (
    ADMISSIONS,
    EVICTION_AGE_SUM,
    EVICTIONS,
    EXPIRIES,
    REJECTIONS,
    RESIDENTS,
    USED,
)
from cachesim.requests import chunks
from schemas.errors import ConfigError
from schemas.trace import FloatArray, IntArray, Trace

POLICIES: dict[str, ModuleType] = {
    "lru": lru,
    "fifo": fifo,
    "lfu": lfu,
    "s3-fifo": s3_fifo,
    "2q": two_q,
    "clock": clock,
    "sieve": sieve,
    "slru": slru,
    "random": random,
    "lfu-aging": lfu_aging,
    "ttl": ttl,
    "sliding-ttl": sliding_ttl,
    "arc": arc,
    "lirs": lirs,
    "lhd": lhd,
    "w-tinylfu": w_tinylfu,
    "hyperbolic": hyperbolic,
    "gdsf": gdsf,
    "adapt-size": adapt_size,
    "belady": belady,
    "min-bypass": min_bypass,
}
LEARNED: dict[str, ModuleType] = {"learned": learned, "guarded": guarded}
"""Policies that need a trained network in the options of `start`."""

BOUNDS = ("belady", "min-bypass")
BASELINES = tuple(name for name in POLICIES if name not in BOUNDS)
RANDOM: tuple[str, ...] = ("random", "lhd", "hyperbolic", "adapt-size")
"""The policies that know the future, those that do not, and those that draw at random."""

TTL_POLICIES: tuple[str, ...] = ("ttl", "sliding-ttl")
DEFAULT_TTL_S = 300.0
"""What `TTL_POLICIES` let a copy live when nothing is said, in seconds; the others let it live for ever."""


@dataclass(frozen=True)
class Outcome:
    """What became of n requests.

    Attributes:
        hit: shape (n,), which ones hit.
        marks: int64 (m,), positions in the trace, the first 0 and the last n.
        counts: int64 (m, c), the ledger's counts when as many requests had been served.
        limit: what the residents' charges may sum to.
    """

    hit: NDArray[np.bool_]
    marks: IntArray
    counts: IntArray
    limit: int

    @cached_property
    def whole(self) -> "Activity":
        """What the cache did from the first request to the last."""
        return self.between(0, self.hit.size)

    def between(self, start: int, stop: int) -> "Activity":
        """Return what the cache did while it served the requests [start, stop), both of them marks."""
        before, after = (self.counts[np.flatnonzero(self.marks == mark)[0]] for mark in (start, stop))
        done = after - before
        return Activity(
            admissions=int(done[ADMISSIONS]),
            evictions=int(done[EVICTIONS]),
            rejections=int(done[REJECTIONS]),
            expiries=int(done[EXPIRIES]),
            mean_eviction_age_requests=done[EVICTION_AGE_SUM] / done[EVICTIONS] if done[EVICTIONS] else float("nan"),
            resident_objects=int(after[RESIDENTS]),
            resident_charge=int(after[USED]),
            occupancy=float(after[USED] / self.limit),
        )


@dataclass(frozen=True)
class Activity:
    """What a cache did over a span, and what it held at the end of it.

    Attributes:
        admissions, evictions: how often an object was admitted, evicted.
        rejections: misses that were not admitted: too large, of no lifetime, or refused by the policy.
        expiries: copies that left because their time to live was over.
        mean_eviction_age_requests: requests from an object's last one to its eviction; NaN without evictions.
        resident_objects, resident_charge: what the cache held, in objects and in the unit of the capacity.
        occupancy: resident_charge / capacity, in [0, 1].
    """

    admissions: int
    evictions: int
    rejections: int
    expiries: int
    mean_eviction_age_requests: float
    resident_objects: int
    resident_charge: int
    occupancy: float


def replay(
    trace: Trace,
    policy: str,
    capacity: Capacity,
    *,
    ttl_s: float | FloatArray | None = None,
    seed: int = 0,
    marks: Sequence[int] = (),
    **options: Any,
) -> Outcome:
    """Send the requests of `trace` through an empty cache.

    Args:
        trace: n requests.
        policy: a name in POLICIES or LEARNED.
        capacity: what the cache holds.
        ttl_s: time to live of a copy in seconds, >= 0, for all or of what each request stores, shape (n,); 0 = not
            stored. None = for ever, or `DEFAULT_TTL_S` with a policy of TTL_POLICIES.
        seed: of the policies that draw at random.
        marks: positions in [0, n] between which the outcome can say what the cache did.
        options: of the policy's `start`, where they are not to be the usual ones; LEARNED need some.

    Raises:
        ConfigError: there is no such policy, it lacks an option, or a time to live is below 0 or not a number.
    """
    state = begin(trace, policy, capacity, seed, **options)
    hit = np.zeros(len(trace), np.bool_)
    stops = np.unique(np.array([0, *marks, len(trace)], np.int64))
    counts = np.zeros((stops.size, state.ledger.counts.size), np.int64)
    for span, requests in chunks(trace, capacity, lifetime_s(policy, ttl_s), stops.tolist()):
        kernels_of(policy).replay(state, requests, hit[span])
        counts[np.searchsorted(stops, span.stop) :] = state.ledger.counts
    return Outcome(hit, stops, counts, capacity.limit)


def begin(trace: Trace, policy: str, capacity: Capacity, seed: int = 0, **options: Any) -> Any:
    """Return the state of an empty cache before the first request of `trace`, for the kernels of `policy`.

    Raises:
        ConfigError: there is no such policy, or it lacks an option.
    """
    kernels = kernels_of(policy)
    if policy in BOUNDS:
        options["next_request"] = next_request(trace.key, trace.n_keys)
    if policy in RANDOM or policy in LEARNED:
        options["seed"] = seed
    if policy in LEARNED:
        options = {"n_endpoints": len(trace.endpoint_names), **options}
        require_columns(trace, options)
    return kernels.start(trace.n_keys, capacity.limit, **options)


def kernels_of(policy: str) -> ModuleType:
    """Return the module of a policy.

    Raises:
        ConfigError: there is no such policy.
    """
    require_policy(policy)
    return LEARNED[policy] if policy in LEARNED else POLICIES[policy]


def require_policy(policy: str) -> None:
    """Raise ConfigError unless there is such a policy."""
    if policy not in POLICIES and policy not in LEARNED:
        raise ConfigError(f"unknown policy {policy}; known: {', '.join(sorted([*POLICIES, *LEARNED]))}")


def columns_read(options: dict[str, Any]) -> int:
    """Return how many feature columns a policy with these options reads: one fewer than the values in `missing`."""
    return max(0, np.size(options.get("missing", 0)) - 1)


def require_columns(trace: Trace, options: dict[str, Any]) -> None:
    """Raise ConfigError unless the trace has as many feature columns as a policy with these options reads."""
    if trace.columns.shape[1] != columns_read(options):
        raise ConfigError(
            f"the trace has {trace.columns.shape[1]} feature columns, the policy reads {columns_read(options)}: "
            "give those that it was trained with"
        )


def require_causal(policy: str) -> None:
    """Raise ConfigError unless there is such a policy and it does without the future."""
    require_policy(policy)
    if policy in BOUNDS:
        raise ConfigError(f"policy {policy} knows the future: it is a bound to compare with, not one to run")


def lifetime_s(policy: str, ttl_s: float | FloatArray | None) -> float | FloatArray:
    """Return how long copies may be served: as given, else what is usual with the policy.

    Raises:
        ConfigError: a time to live is below 0 or not a number.
    """
    if ttl_s is None:
        return DEFAULT_TTL_S if policy in TTL_POLICIES else np.inf
    if not np.all(np.asarray(ttl_s) >= 0):
        raise ConfigError("ttl_s: a time to live must be a number of seconds >= 0; 0 = not stored")
    return ttl_s


def lru_eviction_age_requests(span: Trace, capacity: Capacity) -> float:
    """Return the mean age of an object at its eviction by LRU, in requests to others; NaN when none is evicted."""
    return replay(span, "lru", capacity).whole.mean_eviction_age_requests
