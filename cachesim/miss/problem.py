"""Which decision is taken on misses, and where: a cache, its eviction, and the requests that it serves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from cachesim.capacity import Capacity
from cachesim.eviction.caches import HISTORY_MULTIPLE
from cachesim.features.history import Fitted, fit
from cachesim.features.table import Feature
from cachesim.miss.kernels import miss_features
from cachesim.miss.ttl_rewards import DEFAULT_LADDER_S, require_ladder, require_versions
from cachesim.replay import lifetime_s, require_causal
from schemas.errors import ConfigError
from schemas.trace import FloatArray, Trace

Decision = Literal["admission", "ttl"]
RENEWING = "sliding-ttl"


@dataclass(frozen=True)
class Setting:
    """A cache whose misses are decided, and the requests that it serves.

    Attributes:
        decision: what is decided.
        trace: n requests.
        training: length of the training span, in [1, n]; >= 0 where `trained` is given.
        capacity: of the cache.
        eviction: the policy that makes room, one that does not know the future.
        ladder_s: float64 (actions,), times to live in seconds, 0 = not stored.
        values: float64 (n,), what a hit on each request is worth.
        staleness_weight: >= 0, see `cachesim.miss.ttl_rewards`; 0 where lives are not decided.
        history_multiple: keys remembered, in capacities of objects, residents not counted.
        key_sample: the share of the keys that the trace holds, in (0, 1].
        trained: what features took from the training span, where that is not one of this trace; None = it is.
    """

    decision: Decision
    trace: Trace
    training: int
    capacity: Capacity
    eviction: str
    ladder_s: FloatArray
    values: FloatArray
    staleness_weight: float = 0.0
    history_multiple: int = HISTORY_MULTIPLE
    key_sample: float = 1.0
    trained: Fitted | None = None

    @cached_property
    def fitted(self) -> Fitted:
        """What features take from the training span."""
        return self.trained or fit(self.span, self.capacity)

    @property
    def every_miss(self) -> bool:
        """Whether each miss of an object that may enter is decided, or only those that need an eviction."""
        return self.decision == "ttl"

    @property
    def span(self) -> Trace:
        """The training span."""
        return self.trace[: self.training]

    @property
    def features(self) -> tuple[Feature, ...]:
        """The inputs of the network, in order."""
        return miss_features(self.trace.column_names, self.every_miss)

    @property
    def of_training(self) -> "Setting":
        """The same decision on the training span alone."""
        return replace(self, trace=self.span, values=self.values[: self.training])


def admission_setting(
    trace: Trace, training: int, capacity: Capacity, values: FloatArray, eviction: str = "lru", **options: Any
) -> Setting:
    """Return the decision whether to admit: action 0 = no, 1 = yes, and `eviction` makes room.

    Raises:
        ConfigError: there is no such policy, or it knows the future.
    """
    require_causal(eviction)
    ladder_s = np.array([0.0, float(lifetime_s(eviction, None))])
    return Setting("admission", trace, training, capacity, eviction, ladder_s, values, **options)


def ttl_setting(
    trace: Trace,
    training: int,
    capacity: Capacity,
    values: FloatArray,
    eviction: str = "lru",
    ladder_s: Sequence[float] = DEFAULT_LADDER_S,
    staleness_weight: float = 1.0,
    **options: Any,
) -> Setting:
    """Return the decision how long to serve what was fetched: action a = `ladder_s[a]` seconds.

    Raises:
        ConfigError: there is no such policy, it knows the future or renews lives at hits, the times to live do not
            rise from 0 or more, or the staleness weight is below 0.
        TraceError: the requests have no versions.
    """
    require_causal(eviction)
    if eviction == RENEWING:
        raise ConfigError(f"decision ttl cannot be taken with policy {RENEWING}, whose hits renew lives; take ttl")
    if not 0 <= staleness_weight < np.inf:
        raise ConfigError(f"staleness_weight must be a number >= 0, got {staleness_weight}")
    require_versions(trace)
    ladder = require_ladder(ladder_s)
    return Setting("ttl", trace, training, capacity, eviction, ladder, values, staleness_weight, **options)
