"""What is to be learned: a trace, a cache, what a hit is worth, and which part may be looked at."""

from dataclasses import dataclass
from functools import cached_property

from cachesim.capacity import Capacity
from cachesim.features import Feature, feature_table
from cachesim.keysample import scaled
from cachesim.objective import request_values
from cachesim.replay import replay
from cachesim.sampled import Stream, build_stream
from schemas.config import TrainConfig
from schemas.errors import TraceError
from schemas.expectations import MIN_REQUESTS
from schemas.trace import FloatArray, Trace


@dataclass(frozen=True)
class CacheProblem:
    """A cache on recorded traffic.

    Attributes:
        trace: all requests, the held-out ones included.
        training: length of the training span; nothing is fitted to later requests.
        capacity: of the cache that the trace is sent through: that of all keys, scaled down when these are a sample.
        served_capacity: of the cache that the policy is to serve.
        values: float64 (n,), what a hit on each request is worth.
        stream: the trace as sampled eviction reads it.
    """

    trace: Trace
    training: int
    capacity: Capacity
    served_capacity: Capacity
    values: FloatArray
    stream: Stream

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

    @cached_property
    def eviction_age_requests(self) -> float:
        """Mean age at eviction under LRU on the training span; NaN when it evicts nothing."""
        return replay(self.span, "lru", self.capacity).whole.mean_eviction_age_requests

    @property
    def features(self) -> tuple[Feature, ...]:
        """The inputs of the network, in order."""
        return feature_table(self.trace.column_names)


def build_problem(trace: Trace, config: TrainConfig) -> CacheProblem:
    """Set up the problem that `config` describes.

    Raises:
        TraceError: there are fewer than 1,000 requests.
        ConfigError: a capacity or weight that cannot be used with this trace.
    """
    if len(trace) < MIN_REQUESTS:
        raise TraceError(f"{len(trace)} requests are too few to learn from: at least {MIN_REQUESTS:,} are needed")
    served, capacity = _capacities(trace, config)
    training = int((1 - config.test_fraction) * len(trace))
    values = request_values(trace, training, config.cache_weights)
    stream = build_stream(trace, capacity, training, config.history_multiple, config.key_sample)
    return CacheProblem(trace, training, capacity, served, values, stream)


def _capacities(trace: Trace, config: TrainConfig) -> tuple[Capacity, Capacity]:
    """Return the capacity to serve and that for the sample of the keys: a fraction refers to the keys of the sample."""
    given = Capacity.resolve(trace, size=config.cache_size, bytes_=config.cache_bytes, fraction=config.cache_fraction)
    if config.cache_size is None and config.cache_bytes is None:
        return Capacity(round(given.limit / config.key_sample), given.unit), given
    return given, scaled(given, config.key_sample)
