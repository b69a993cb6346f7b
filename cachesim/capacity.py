"""How much a cache holds: a number of objects, or of bytes."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from schemas.errors import ConfigError
from schemas.trace import IntArray, Trace

DEFAULT_FRACTION = 0.01  # of the distinct keys
Unit = Literal["objects", "bytes"]


@dataclass(frozen=True)
class Capacity:
    """The limit on the sum of the residents' charges: 1 an object, or its bytes.

    Raises:
        ConfigError: the limit is below 1.
    """

    limit: int
    unit: Unit

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ConfigError(f"the cache must hold at least 1 {self.unit.removesuffix('s')}, got {self.limit}")

    @classmethod
    def resolve(
        cls, trace: Trace, *, size: int | None = None, bytes_: int | None = None, fraction: float | None = None
    ) -> Self:
        """Return the capacity that was asked for.

        Args:
            trace: the requests whose distinct keys `fraction` refers to.
            size: objects, >= 1.
            bytes_: bytes, >= 1 and room for the smallest object at least.
            fraction: share of the distinct keys, in (0, 1]; rounded to the nearest number of objects, at least 1.
                0.01 when nothing is given.

        Raises:
            ConfigError: a value is outside its range, or more than one is given.
        """
        if sum(value is not None for value in (size, bytes_, fraction)) > 1:
            raise ConfigError("give one capacity: a number of objects, of bytes, or a fraction of the distinct keys")
        if size is not None:
            return cls(size, "objects")
        if bytes_ is not None:
            smallest = int(trace.size_bytes.min(initial=np.iinfo(np.int64).max))
            if 1 <= bytes_ < smallest and len(trace):
                raise ConfigError(f"no object fits into a cache of {bytes_} bytes: the smallest takes {smallest}")
            return cls(bytes_, "bytes")
        fraction = DEFAULT_FRACTION if fraction is None else fraction
        if not 0 < fraction <= 1:
            raise ConfigError(f"a capacity as a fraction of the distinct keys must lie in (0, 1], got {fraction}")
        return cls(max(1, int(fraction * trace.distinct_keys + 0.5)), "objects")

    def charges(self, trace: Trace) -> IntArray:
        """Return what each request's object takes of the limit: shape (n,), >= 1, read-only."""
        if self.unit == "bytes":
            return trace.size_bytes
        ones = np.ones(len(trace), np.int64)
        ones.flags.writeable = False
        return ones

    def mean_objects(self, trace: Trace) -> float:
        """Return how many objects of the mean size of the distinct keys of `trace` fit, at least 1.0."""
        if self.unit == "objects" or len(trace) == 0:
            return float(self.limit)
        _, code = np.unique(trace.key, return_inverse=True)
        sizes_bytes = np.bincount(code, weights=trace.size_bytes) / np.bincount(code)
        return max(1.0, self.limit / float(sizes_bytes.mean()))
