"""What is to be learned: a trace, a cache, what a hit is worth, and which part may be looked at."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cachesim.analysis.key_sample import scaled
from cachesim.analysis.metrics import Score, score
from cachesim.capacity import Capacity
from cachesim.eviction.caches import Stream, stream_of
from cachesim.eviction.decisions import HORIZON
from cachesim.features.categories import Indicator, encode
from cachesim.features.history import Fitted, fit
from cachesim.features.table import Feature, feature_table
from cachesim.miss.kernels import miss_features
from cachesim.miss.problem import Setting, admission_setting, ttl_setting
from cachesim.miss.ttl_rewards import DEFAULT_LADDER_S, require_versions
from cachesim.objective import Objective, fit_objective, for_columns, values_of
from cachesim.replay import lru_eviction_age_requests
from schemas.errors import GateError, TraceError
from schemas.expectations import MIN_REQUESTS
from schemas.options.train import TrainConfig
from schemas.trace import FloatArray, Trace


@dataclass(frozen=True)
class CacheProblem:
    """A cache on recorded traffic.

    Attributes:
        trace: all requests, the held-out ones included; its text columns are encoded as `indicators`.
        training: length of the training span, of a bundle that of the requests before those to be judged; nothing is
            fitted to later requests.
        capacity: of the cache that the trace is sent through: that of all keys, scaled down when these are a sample.
        served_capacity: of the cache that the policy is to serve.
        objective: what a hit is worth.
        values: float64 (n,), of a hit on each request.
        fitted: what features take from the training span, of a bundle that of its own training.
        stream: the trace as sampled eviction reads it.
        history_multiple: keys remembered, in capacities of objects, residents not counted.
        indicators: what the last columns of the trace are.
        setting: which decision on misses is learned; None = eviction.
        horizon: of an eviction, see `cachesim.eviction.decisions.build_oracle`.
    """

    trace: Trace
    training: int
    capacity: Capacity
    served_capacity: Capacity
    objective: Objective
    values: FloatArray
    fitted: Fitted
    stream: Stream
    history_multiple: int
    indicators: tuple[Indicator, ...] = ()
    setting: Setting | None = None
    horizon: float = HORIZON

    @property
    def span(self) -> Trace:
        """The training span."""
        return self.trace[: self.training]

    @property
    def held_out(self) -> slice:
        """The test span."""
        return slice(self.training, len(self.trace))

    @cached_property
    def training_stream(self) -> Stream:
        """The stream up to the end of the training span."""
        n, stream = self.training, self.stream
        return stream._replace(key=stream.key[:n], charge=stream.charge[:n], history=stream.history[:n])

    @property
    def staleness_weight(self) -> float:
        """What a stale hit costs, in what a fresh one is worth."""
        return 0.0 if self.setting is None else self.setting.staleness_weight

    def score(self, hit: NDArray[np.bool_], span: slice) -> Score:
        """Return the score on a span of a replay of the first m requests, or all, bool (m,)."""
        m = hit.size
        return score(self.trace[:m], hit, span, self.values[:m], staleness_weight=self.staleness_weight)

    @cached_property
    def eviction_age_requests(self) -> float:
        """Mean age at eviction under LRU on the training span; NaN when it evicts nothing."""
        return lru_eviction_age_requests(self.span, self.capacity)

    @property
    def features(self) -> tuple[Feature, ...]:
        """The inputs of the network, in order."""
        if self.setting is None:
            return feature_table(self.trace.column_names, self.indicators)
        return miss_features(self.trace.column_names, self.setting.every_miss, self.indicators)

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """The columns of the table that are learned from."""
        return tuple(dict.fromkeys(feature.column for feature in self.features if feature.column))


def build_problem(trace: Trace, config: TrainConfig) -> CacheProblem:
    """Set up the problem that `config` describes.

    Raises:
        TraceError: there are fewer than 1,000 requests, or none with the versions that decision ttl needs.
        ConfigError: a capacity, weight, text column or option of the decision that cannot be used with this trace.
        GateError: no hit on the held-out requests is worth anything, so that nothing could be judged.
    """
    if config.staleness_budget is not None:
        require_versions(trace)
    if len(trace) < MIN_REQUESTS:
        raise TraceError(f"{len(trace)} requests are too few to learn from: at least {MIN_REQUESTS:,} are needed")
    sizes = (config.cache_size, config.cache_bytes, config.cache_fraction)
    served = asked_capacity(trace, *sizes, config.key_sample)
    capacity = scaled(served, config.key_sample)
    training = config.training_requests(len(trace))
    objective = fit_objective(trace, training, config.cache_weights)
    trace, indicators = encode(trace, training)
    objective = for_columns(objective, len(trace.column_names))
    values = judged_values(trace, objective, training)
    fitted, memory = fit(trace[:training], capacity), config.history_multiple
    stream = stream_of(trace, capacity, fitted, memory, config.key_sample)
    problem = CacheProblem(trace, training, capacity, served, objective, values, fitted, stream, memory, indicators)
    return replace(problem, setting=_setting(problem, config), horizon=config.horizon or HORIZON)


def judged_values(trace: Trace, objective: Objective, start: int) -> FloatArray:
    """Return what a hit on each request is worth, (n,); GateError when that is nothing for all from `start` on."""
    values = values_of(trace, objective)
    if not values[start:].any():
        raise GateError("cache_weights: no hit on the held-out requests is worth anything; weigh another column")
    return values


def _setting(problem: CacheProblem, config: TrainConfig) -> Setting | None:
    """Return which decision on misses is learned; None = eviction."""
    if config.decision == "eviction":
        return None
    place = problem.trace, problem.training, problem.capacity, problem.values, config.eviction or "lru"
    memory: dict[str, Any] = {"history_multiple": config.history_multiple, "key_sample": config.key_sample}
    if config.decision == "admission":
        return admission_setting(*place, **memory)
    ladder_s = DEFAULT_LADDER_S if config.ttl_ladder_s is None else (0.0, *config.ttl_ladder_s, np.inf)
    weight = 1.0 if config.staleness_weight is None else config.staleness_weight
    return ttl_setting(*place, ladder_s, weight, **memory)


def asked_capacity(
    trace: Trace, size: int | None, bytes_: int | None, fraction: float | None, key_sample: float
) -> Capacity:
    """Return the capacity to serve that was asked for, see `Capacity.resolve`.

    A fraction refers to the keys of the trace, which holds a share `key_sample` of all.
    """
    given = Capacity.resolve(trace, size=size, bytes_=bytes_, fraction=fraction)
    if size is None and bytes_ is None:
        return Capacity(round(given.limit / key_sample), given.unit)
    return given
