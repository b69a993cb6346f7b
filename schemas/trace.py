"""A trace: the requests to one cache in time order, as immutable columns."""

import hashlib
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from schemas.errors import TraceError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trace:
    """Requests in arrival order, as columns of equal length n.

    Attributes:
        key: int64 (n,), dense object codes in [0, n_keys).
        timestamp_s: float64 (n,), seconds since 1970-01-01 UTC, never falling.
        size_bytes: int64 (n,), >= 1; 1 where the source has no sizes.
        load_time_ms: float32 (n,), >= 0, the cost of a miss; NaN where unknown.
        endpoint: int32 (n,), codes into `endpoint_names`.
        version: int64 (n,) content versions (a change means new content), or None when the source has none.
        columns: float32 (n, m), the chosen feature columns that are numbers; NaN where missing.
        column_names: the m names of `columns`.
        texts: int32 (n, t), the chosen feature columns that are text, as codes into `text_values`; -1 where missing.
            Policies read `columns` alone: see `cachesim.features.categories`.
        text_names: the t names of `texts`.
        text_values: the different values of each text column.
        endpoint_names: the cache name (endpoint or table) behind each endpoint code.
        n_keys: number of object codes; a slice of a trace keeps the coding of the whole.

    Raises:
        TraceError: columns differ in length, or a value is outside its range.
    """

    key: IntArray
    timestamp_s: FloatArray
    size_bytes: IntArray
    load_time_ms: NDArray[np.float32]
    endpoint: NDArray[np.int32]
    n_keys: int
    endpoint_names: tuple[str, ...] = ("",)
    version: IntArray | None = None
    columns: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    column_names: tuple[str, ...] = ()
    texts: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 0), np.int32))
    text_names: tuple[str, ...] = ()
    text_values: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.column_names:
            object.__setattr__(self, "columns", np.empty((self.key.size, 0), np.float32))
        if not self.text_names:
            object.__setattr__(self, "texts", np.empty((self.key.size, 0), np.int32))
        for name, array in self._arrays():
            if len(array) != self.key.size:
                raise TraceError(f"column {name} has {len(array)} values for {self.key.size} requests")
            array.flags.writeable = False
        self._check_ranges()

    def _check_ranges(self) -> None:
        if self.key.size == 0:
            return
        if self.key.min() < 0 or self.key.max() >= self.n_keys:
            raise TraceError(f"key codes must lie in [0, {self.n_keys})")
        if self.size_bytes.min() < 1:
            row = int(np.argmin(self.size_bytes))
            raise TraceError(f"size_bytes must be >= 1, got {self.size_bytes[row]} at request {row}")
        backwards = np.flatnonzero(np.diff(self.timestamp_s) < 0)
        if backwards.size:
            raise TraceError(f"time runs backwards at request {backwards[0] + 1}: sort the rows by timestamp")

    def _arrays(self) -> list[tuple[str, NDArray[np.generic]]]:
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return [(name, value) for name, value in values if isinstance(value, np.ndarray)]

    def __len__(self) -> int:
        return int(self.key.size)

    def __getitem__(self, span: slice | IntArray) -> Self:
        """Return the requests of `span`, or at rising positions, with the key and endpoint coding of the whole."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values |= {name: array[span] for name, array in self._arrays()}
        return type(self)(**values)

    def split(self, fraction: float) -> tuple[Self, Self]:
        """Return the first int(fraction * n) requests and the rest; fraction in (0, 1)."""
        boundary = int(fraction * len(self))
        return self[:boundary], self[boundary:]

    @cached_property
    def distinct_keys(self) -> int:
        """Number of different keys requested."""
        return int(np.unique(self.key).size)

    @cached_property
    def sha256(self) -> str:
        """Hex digest of names, types and contents of all columns."""
        names = (self.n_keys, self.endpoint_names, self.column_names, self.text_names, self.text_values)
        digest = hashlib.sha256(repr(names).encode())
        for name, array in self._arrays():
            digest.update(f"{name}:{array.dtype}:{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
