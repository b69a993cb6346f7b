"""Rows of a file made into rows of `cache_metrics`: types, ranges and time, checked before anything is written.

A moment may be ISO 8601 text or a datetime (UTC unless it says else), or a number. The unit of a file's numbers is told
by the largest of its first chunk: seconds below 1e11, milliseconds below 1e14, else microseconds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from schemas.errors import SourceError
from tasks.ingest.formats import Chunk
from tasks.ingest.keys import KeyNormaliser
from tasks.ingest.timestamps import END_OF_TIME_S, unit_us

SHOWN_ROWS = 5
SHOWN_VALUE_CHARS = 60
REQUIRED = frozenset({"timestamp", "cache_name", "cache_key"})
NORMALISED = frozenset({"cache_name", "cache_key"})  # together they are the object
RANGES = {
    "size_bytes": (1.0, np.inf),
    "load_time_ms": (0.0, np.inf),
    "item_count": (0.0, np.inf),
    "ttl_s": (0.0, np.inf),
    "traffic_intensity": (0.0, np.inf),
    "hit_ratio": (0.0, 1.0),
}
NO_VALUE = r"(?i)^\s*(nan|null|none|na|n/a)?\s*$"  # in a column of numbers


@dataclass
class RowNormaliser:
    """Turns the chunks of one source into rows of the table.

    Attributes:
        source_name: named in errors.
        cache_name: of rows whose file has no such column.
        table: `cache_metrics` as reflected; it says the type and length of each column.
        keys: normalises keys, and the names of caches where these are paths.
    """

    source_name: str
    cache_name: str
    table: sa.Table
    keys: KeyNormaliser = field(default_factory=KeyNormaliser)
    _unit_us: int | None = field(default=None, init=False)

    def rows(self, chunk: Chunk) -> pa.Table:
        """Return the chunk with the table's types: int64, float64, bool, string; `cache_name` filled in.

        Raises:
            SourceError: a value is missing, of another type or outside its range; the first rows are named.
        """
        columns = {name: self._column(name, chunk) for name in chunk.table.column_names}
        if "cache_name" not in columns:
            columns["cache_name"] = pa.repeat(pa.scalar(self.cache_name), chunk.table.num_rows)
        return pa.table(columns)

    def _column(self, name: str, chunk: Chunk) -> pa.Array:
        raw = _plain(chunk.table.column(name))
        refuse = self._refusal(name, raw, chunk.first_row)
        if name == "timestamp":
            values = self._moments(raw, refuse)
        else:
            values = _CONVERT[_kind(self.table.columns[name])](raw, refuse)
        if name in REQUIRED:
            refuse(pc.is_null(values), "is missing")
        if name in NORMALISED:
            values = self.keys.normalise_all(values)
        self._check_range(name, values, refuse)
        return values

    def _check_range(self, name: str, values: pa.Array, refuse: "Refusal") -> None:
        if name in RANGES:
            low, high = RANGES[name]
            told = f"must be >= {low:g}" if np.isinf(high) else f"must lie in [{low:g}, {high:g}]"
            refuse(_outside(values, low, high), told)
        if pa.types.is_string(values.type):
            if name in REQUIRED:
                refuse(pc.equal(values, ""), "is empty")
            refuse(pc.match_substring(values, "\0"), "holds a NUL character, which not every database can store")
            limit = getattr(self.table.columns[name].type, "length", None)
            if limit:
                refuse(pc.greater(pc.utf8_length(values), limit), f"may have {limit} characters at most")

    def _moments(self, raw: pa.Array, refuse: "Refusal") -> pa.Array:
        if pa.types.is_timestamp(raw.type) or pa.types.is_date(raw.type):
            zone = getattr(raw.type, "tz", None)
            return pc.cast(raw, pa.timestamp("us", zone), safe=False).cast(pa.int64())
        if pa.types.is_string(raw.type) and not _parses(raw, pa.float64()):
            moments = pd.Series(pd.to_datetime(raw.to_pandas(), utc=True, format="ISO8601", errors="coerce"))
            refuse(pa.array(moments.isna().to_numpy()), "is no ISO 8601 moment")
            return pa.array(moments.dt.as_unit("us").astype("int64").to_numpy())
        whole = _parses(raw, pa.int64()) if pa.types.is_string(raw.type) else pa.types.is_integer(raw.type)
        numbers = (_integers if whole else _numbers)(raw, refuse)
        refuse(pc.is_null(numbers), "is missing")
        return self._scaled(numbers.to_numpy(zero_copy_only=False), refuse)

    def _scaled(self, numbers: np.ndarray, refuse: "Refusal") -> pa.Array:
        if self._unit_us is None:
            self._unit_us = unit_us(float(np.abs(numbers).max(initial=0)))
        limit = END_OF_TIME_S * (1_000_000 // self._unit_us)
        told = "is no moment before the year 10000 in the unit of the first rows (s below 1e11, ms below 1e14, else us)"
        refuse(pa.array(np.abs(numbers) >= limit), told)
        scaled = numbers * self._unit_us
        return pa.array(scaled if scaled.dtype == np.int64 else np.rint(scaled).astype(np.int64))

    def _refusal(self, name: str, raw: pa.Array, first_row: int) -> "Refusal":
        def refuse(bad: pa.Array, told: str) -> None:
            """Raise when `bad` (bool, null = fine) holds anywhere."""
            rows = np.flatnonzero(pc.fill_null(bad, False).to_numpy(zero_copy_only=False))
            if not rows.size:
                return
            shown = ", ".join(f"row {first_row + i} has {_shown(raw[int(i)])}" for i in rows[:SHOWN_ROWS])
            more = f", and {rows.size - SHOWN_ROWS} more up to row {first_row + len(raw) - 1}"
            raise SourceError(
                f"{self.source_name}: {name} {told}: {shown}{more if rows.size > SHOWN_ROWS else ''}; "
                "mend the file, nothing was written"
            )

        return refuse


Refusal = Callable[[pa.Array, str], None]


def _outside(values: pa.Array, low: float, high: float) -> pa.Array:
    """Tell which values are; the bounds take their type, for integers beyond 2^53 are no floats."""
    below = pc.less(values, pa.scalar(low).cast(values.type))
    return below if np.isinf(high) else pc.or_(below, pc.greater(values, pa.scalar(high).cast(values.type)))


def _shown(value: pa.Scalar) -> str:
    text = repr(value.as_py())
    return text if len(text) <= SHOWN_VALUE_CHARS else f"{text[:SHOWN_VALUE_CHARS]}..."


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """One array, dictionaries and the other string types made plain strings."""
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    textual = pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type)
    return array.cast(pa.string()) if textual or pa.types.is_binary(array.type) else array


def _kind(column: sa.Column[object]) -> str:
    if isinstance(column.type, sa.Boolean):
        return "boolean"
    if isinstance(column.type, sa.Integer):
        return "integer"
    return "number" if isinstance(column.type, sa.Numeric) else "text"


def _parses(texts: pa.Array, to: pa.DataType) -> bool:
    try:
        texts.cast(to)
    except pa.ArrowInvalid:
        return False
    return True


def _numbers(raw: pa.Array, refuse: Refusal) -> pa.Array:
    """float64, null where missing or NaN."""
    if pa.types.is_string(raw.type):
        raw = pc.if_else(pc.match_substring_regex(raw, NO_VALUE), None, pc.utf8_trim_whitespace(raw))
        if not _parses(raw, pa.float64()):
            refuse(pa.array([text is not None and not _is_number(text) for text in raw.to_pylist()]), "is no number")
    values = _cast(raw, pa.float64(), refuse, "is no number")
    values = pc.if_else(pc.is_nan(values), None, values)
    refuse(pc.is_inf(values), "is not finite")
    return values


def _is_number(text: str) -> bool:
    return _parses(pa.array([text]), pa.float64())


def _integers(raw: pa.Array, refuse: Refusal) -> pa.Array:
    if pa.types.is_integer(raw.type) or pa.types.is_boolean(raw.type):
        return _cast(raw, pa.int64(), refuse, "needs more than 64 bits")
    if pa.types.is_string(raw.type) and _parses(raw, pa.int64()):
        return raw.cast(pa.int64())
    values = _numbers(raw, refuse)
    refuse(pc.not_equal(pc.floor(values), values), "is no whole number")
    refuse(pc.greater_equal(pc.abs(values), 2.0**63), "needs more than 64 bits")
    return values.cast(pa.int64())


def _booleans(raw: pa.Array, refuse: Refusal) -> pa.Array:
    told = "is neither true nor false (nor 1 nor 0)"
    if pa.types.is_boolean(raw.type):
        return raw
    if pa.types.is_string(raw.type):
        raw = pc.utf8_trim_whitespace(raw)
        return _cast(pc.if_else(pc.match_substring_regex(raw, NO_VALUE), None, raw), pa.bool_(), refuse, told)
    values = _numbers(raw, refuse)
    refuse(pc.invert(pc.is_in(values, pa.array([0.0, 1.0, None]))), told)
    return values.cast(pa.bool_())


def _texts(raw: pa.Array, refuse: Refusal) -> pa.Array:
    """Text; whole numbers become their decimal digits, also where gaps made a column of integers float."""
    if pa.types.is_floating(raw.type):
        raw = pc.if_else(pc.is_nan(raw), None, raw)
        whole = pc.and_(pc.equal(pc.floor(raw), raw), pc.less(pc.abs(raw), 2.0**53))
        if pc.all(whole, min_count=0).as_py():
            raw = raw.cast(pa.int64())
    return _cast(raw, pa.string(), refuse, "cannot be made text")


def _cast(raw: pa.Array, to: pa.DataType, refuse: Refusal, told: str) -> pa.Array:
    """Cast, or refuse the rows that cannot be."""
    try:
        return raw.cast(to, safe=to != pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # which says that a value is bad, but not which
        bad = [not _casts(raw[i : i + 1], to) for i in range(len(raw))]
        refuse(pa.array(bad), told)
        raise


def _casts(one: pa.Array, to: pa.DataType) -> bool:
    """Return whether a value can be cast."""
    try:
        one.cast(to)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # that is the answer: Arrow has no other way to ask
        return False
    return True


_CONVERT: dict[str, Callable[[pa.Array, Refusal], pa.Array]] = {
    "integer": _integers,
    "number": _numbers,
    "boolean": _booleans,
    "text": _texts,
}
