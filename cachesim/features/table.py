"""What a policy may know of an object: the features, their transforms, and the kernels that compute both.

The features of a candidate are written raw (requests, bytes, milliseconds) by `observe`; `transform` turns them into
the numbers that the network sees. Training, evaluation and service all call these two.

Time is counted in requests. What depends on the stream of requests alone is one history row a request, see
`cachesim.features.history`; what depends on the moment of the decision is added by `observe`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import kernel
from cachesim.features.categories import Indicator
from schemas.trace import FloatArray

Float32Array = NDArray[np.float32]

GAPS = 4
HALF_LIVES_PER_CAPACITY = (0.25, 2.0, 16.0, 128.0)
ENDPOINT_STEP = 1 / 256  # weight of the newest request in an endpoint's moving averages
HIT_STEP = 1 / 1024  # weight of the newest request in the cache's moving hit ratio
SMALLEST_COUNT = 2.0**-16
STANDARD_LIMIT = 8.0  # standardised values are clipped to +-8

LOG2_1P, LOG2, IDENTITY, SYMLOG2, RAW = range(5)  # codes of the transforms below
TRANSFORMS = {
    LOG2_1P: "log2(1 + x); x < 0 means missing and gives `missing_value`",
    LOG2: "log2(max(x, 2^-16))",
    IDENTITY: "x",
    SYMLOG2: "sign(x) * log2(1 + |x|)",
}


@dataclass(frozen=True)
class Feature:
    """One input of the network.

    Attributes:
        name: unique within a policy.
        unit: of the raw value.
        definition: enough to compute the raw value elsewhere.
        transform: a code of `TRANSFORMS`.
        low: smallest raw value.
        high: largest raw value.
        column: of the table, that the feature is made of; empty for a built-in one.
        category: the text in `column` for which the feature is 1, else it is 0; None where the column is a number.
    """

    name: str
    unit: str
    definition: str
    transform: int
    low: float = 0.0
    high: float = np.inf
    column: str = ""
    category: str | None = None


_GAP = "requests between the object's {}. and {}. last ones; -1 when there is none in the bounded history"
_COUNT = "sum over the object's requests of 2^(-age / ({:g} * capacity in objects))"
_HITS = f"moving average over the earlier requests of hits (1) and misses (0), from 0, the newest weighs {HIT_STEP}"
_ENDPOINT_GAP = (
    "moving average of log2(1 + gap_1) over the endpoint's requests to keys with a history, "
    f"from log2(1 + capacity in objects), the newest weighs {ENDPOINT_STEP}"
)
_ENDPOINT_NEW = (
    f"moving share of the endpoint's requests whose key has no history, from 0.5, the newest weighs {ENDPOINT_STEP}"
)
_NUMBER = "column {} of the object's last request, true counts as 1; its mean over the training span when missing"
_INDICATOR = "1 if the column {} of the object's last request is exactly the text {!r}, else 0; 0 when missing"
COLUMN_UNITS = {"item_count": "objects", "traffic_intensity": "requests/s", "ttl_s": "s", "hit_ratio": "1"}

FEATURES = (
    Feature("age", "requests", "requests to this cache since the object's last one; 0 for the incoming one", LOG2_1P),
    Feature("time_in_cache", "requests", "requests since the object was admitted; 0 for the incoming one", LOG2_1P),
    Feature("cache_hit_ratio", "1", _HITS, IDENTITY, high=1.0),
    *(Feature(f"gap_{i}", "requests", _GAP.format(i, i + 1), LOG2_1P, low=-1.0) for i in range(1, GAPS + 1)),
    *(Feature(f"count_{c:g}c", "requests", _COUNT.format(c), LOG2) for c in HALF_LIVES_PER_CAPACITY),
    Feature("size_bytes", "bytes", "size at the object's last request", LOG2_1P),
    Feature("load_time_ms", "ms", "load time at the object's last request; the training mean when unknown", LOG2_1P),
    Feature("endpoint_log2_gap", "log2(requests)", _ENDPOINT_GAP, IDENTITY),
    Feature("endpoint_new_share", "1", _ENDPOINT_NEW, IDENTITY, high=1.0),
)

MOMENT_FEATURES = 3  # the first ones depend on the moment; the others come from the history row
HISTORY_WIDTH = len(FEATURES) - MOMENT_FEATURES
COUNTS_AT = GAPS  # position of the first decayed count in a history row, and of the others below
SIZE_AT, LOAD_TIME_AT, ENDPOINT_GAP_AT, ENDPOINT_NEW_AT = range(HISTORY_WIDTH - 4, HISTORY_WIDTH)


def feature_table(column_names: tuple[str, ...], indicators: tuple[Indicator, ...] = ()) -> tuple[Feature, ...]:
    """Return the features of a policy that also uses the given columns, in the order the network sees them.

    Args:
        column_names: of `Trace.columns`.
        indicators: what the last of these are, as `categories.encode` gives them.
    """
    numbers = column_names[: len(column_names) - len(indicators)]
    others = {*(feature.name for feature in FEATURES), *(indicator.name for indicator in indicators)}
    return (*FEATURES, *(_number_feature(column, others) for column in numbers), *map(_indicator_feature, indicators))


def _number_feature(column: str, others: set[str]) -> Feature:
    name, definition = f"{column} (column)" if column in others else column, _NUMBER.format(column)
    return Feature(name, COLUMN_UNITS.get(column, "as recorded"), definition, SYMLOG2, low=-np.inf, column=column)


def _indicator_feature(indicator: Indicator) -> Feature:
    # SYMLOG2 leaves 0 and 1 as they are, so that every column is transformed alike.
    column, value = indicator.column, indicator.value
    definition = _INDICATOR.format(column, value)
    return Feature(indicator.name, "0 or 1", definition, SYMLOG2, high=1.0, column=column, category=value)


def half_lives(capacity_objects: float) -> FloatArray:
    """Return the half-lives of the decayed counts, in requests, float64 (4,), of a cache of so many objects."""
    return np.array(HALF_LIVES_PER_CAPACITY) * capacity_objects


class Normaliser(NamedTuple):
    """How raw features become the numbers that the network sees: transform, then (y - mean) / deviation.

    Attributes:
        transform: int64 (f,), codes of `TRANSFORMS`, or `RAW` to leave a feature as it is.
        missing_value: float32 (f,), the transformed value of a missing one.
        mean: float32 (f,), of the transformed values on the training span.
        deviation: float32 (f,), > 0, likewise.
    """

    transform: NDArray[np.int64]
    missing_value: Float32Array
    mean: Float32Array
    deviation: Float32Array


def raw_normaliser(n_features: int) -> Normaliser:
    """Return the normaliser that changes nothing."""
    zeros = np.zeros(n_features, np.float32)
    return Normaliser(np.full(n_features, RAW), zeros, zeros, np.ones(n_features, np.float32))


def fit_normaliser(raw: Float32Array, column_names: tuple[str, ...], capacity_objects: float) -> Normaliser:
    """Fit mean and deviation to raw feature rows of the training span.

    Args:
        raw: shape (rows, f), raw features.
        column_names: the feature columns behind the built-in features.
        capacity_objects: cache capacity in objects; a missing gap counts as 64 capacities.
    """
    table = feature_table(column_names)
    return fit_to(raw, table, np.full(len(table), 64 * capacity_objects))


def fit_to(raw: Float32Array, table: Sequence[Feature], missing: FloatArray) -> Normaliser:
    """Fit mean and deviation to raw rows (rows, f) of any features; `missing` (f,) stands in for missing values."""
    kinds = np.array([feature.transform for feature in table], np.int64)
    missing_value = np.log2(1 + missing).astype(np.float32)
    values = np.array(raw, np.float32)
    _unscaled_rows(values, kinds, missing_value)
    deviation = values.std(axis=0, dtype=np.float64)
    deviation[deviation < 1e-6] = 1.0
    mean = values.mean(axis=0, dtype=np.float64)
    return Normaliser(kinds, missing_value, mean.astype(np.float32), deviation.astype(np.float32))


@kernel
def copy_row(source, target):  # type: ignore[no-untyped-def]
    """Copy the numbers of one row; a slice assignment would allocate."""
    for i in range(source.size):
        target[i] = source[i]


@kernel
def observe(history, age, time_in_cache, hit_ratio, half_lives, out):  # type: ignore[no-untyped-def]
    """Write the raw features of one candidate to `out` (>= f,), from its history row and the moment."""
    out[0] = age
    out[1] = time_in_cache
    out[2] = hit_ratio
    copy_row(history, out[MOMENT_FEATURES:])
    for c in range(half_lives.size):
        out[MOMENT_FEATURES + COUNTS_AT + c] *= 2.0 ** (-age / half_lives[c])


@kernel
def transform(values, normaliser):  # type: ignore[no-untyped-def]
    """Turn the raw features `values` (>= f,) of one candidate, in place, into what the network sees."""
    for i in range(normaliser.transform.size):
        kind = normaliser.transform[i]
        if kind != RAW:
            y = _unscaled(values[i], kind, normaliser.missing_value[i])
            y = (y - normaliser.mean[i]) / normaliser.deviation[i]
            values[i] = min(max(y, np.float32(-STANDARD_LIMIT)), np.float32(STANDARD_LIMIT))


@kernel
def _unscaled(x, kind, missing_value):  # type: ignore[no-untyped-def]
    if kind == LOG2_1P:
        return np.log2(np.float32(1) + x) if x >= 0 else missing_value
    if kind == LOG2:
        return np.log2(max(x, np.float32(SMALLEST_COUNT)))
    if kind == SYMLOG2:
        return np.sign(x) * np.log2(np.float32(1) + abs(x))
    return x


@kernel
def _unscaled_rows(rows, kinds, missing_value):  # type: ignore[no-untyped-def]
    for row in rows:
        for i in range(row.size):
            row[i] = _unscaled(row[i], kinds[i], missing_value[i])
