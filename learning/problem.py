"""What is to be learned: a trace, a cache, what a hit is worth, and which part may be looked at."""

from dataclasses import dataclass
from functools import cached_property

from cachesim.capacity import Capacity
from cachesim.features import Feature, feature_table
from cachesim.objective import request_values
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
        capacity: of the cache.
        values: float64 (n,), what a hit on each request is worth.
        stream: the trace as sampled eviction reads it.
    """

    trace: Trace
    training: int
    capacity: Capacity
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
        key, charge, history, half_lives, limit = self.stream
        return Stream(key[: self.training], charge[: self.training], history[: self.training], half_lives, limit)

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
    capacity = Capacity.resolve(
        trace, size=config.cache_size, bytes_=config.cache_bytes, fraction=config.cache_fraction
    )
    training = int((1 - config.test_fraction) * len(trace))
    values = request_values(trace, training, config.cache_weights)
    stream = build_stream(trace, capacity, training, config.history_multiple)
    return CacheProblem(trace, training, capacity, values, stream)
