"""The Trace that rows of `read_rows` make."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schemas.trace import IntArray, Trace
from tasks.extract.feature_columns import is_text


def to_trace(rows: pd.DataFrame) -> Trace:
    """Return the Trace of rows of `read_rows`.

    An object is a (cache_name, cache_key) pair, numbered in order of first appearance, as endpoints are. A missing size
    is the last one known of the object, else 1. A missing content version is the last one known of the object, else
    its first one known later, else 0; where no row has one the trace has none. A missing load time or feature is NaN.

    Raises:
        TraceError: a value is outside what a Trace takes, e.g. the rows are not in time order.
    """
    keys, distinct = pd.factorize(object_codes(rows))
    endpoints, present = pd.factorize(_codes(rows["cache_name"]))
    names = tuple(str(rows["cache_name"].cat.categories[int(code)]) for code in present)
    features: tuple[str, ...] = tuple(rows.attrs.get("feature_columns", ()))
    texts = tuple(name for name in features if is_text(rows[name]))
    numbers = tuple(name for name in features if name not in texts)
    return Trace(
        key=keys.astype(np.int64),
        timestamp_s=rows["timestamp"].to_numpy(np.int64) / 1e6,
        size_bytes=_filled(rows["size_bytes"], keys, 1),
        load_time_ms=_float32(rows["load_time_ms"]),
        endpoint=endpoints.astype(np.int32),
        n_keys=len(distinct),
        endpoint_names=names,
        version=None if rows["origin_version"].isna().all() else _versions(rows["origin_version"], keys),
        columns=_stacked([_float32(rows[name]) for name in numbers], len(rows), np.float32),
        column_names=numbers,
        texts=_stacked([rows[name].cat.codes.to_numpy(np.int32) for name in texts], len(rows), np.int32),
        text_names=texts,
        text_values=tuple(tuple(map(str, rows[name].cat.categories)) for name in texts),
    )


def object_codes(rows: pd.DataFrame) -> IntArray:
    """Return a number for the (cache_name, cache_key) pair of each row: equal pairs, equal numbers."""
    pairs: IntArray = _codes(rows["cache_name"]) * len(rows["cache_key"].cat.categories) + _codes(rows["cache_key"])
    return pairs


def _codes(column: pd.Series) -> IntArray:
    return np.asarray(column.cat.codes, np.int64)


def _filled(sizes: pd.Series, keys: NDArray[np.intp], default: int) -> IntArray:
    if sizes.isna().any():
        sizes = sizes.groupby(keys).ffill().fillna(default)
    return sizes.to_numpy(np.int64)


def _versions(versions: pd.Series, keys: NDArray[np.intp]) -> IntArray:
    if versions.isna().any():
        versions = versions.groupby(keys).ffill().groupby(keys).bfill()
    return versions.fillna(0).to_numpy(np.int64)


def _float32(column: pd.Series) -> NDArray[np.float32]:
    """The numbers, NaN where missing; what is finite stays so."""
    values = column.to_numpy(np.float64, na_value=np.nan)
    limit = np.where(np.isinf(values), np.inf, np.finfo(np.float32).max)
    clipped: NDArray[np.float32] = np.clip(values, -limit, limit).astype(np.float32)
    return clipped


def _stacked(columns: list[NDArray[Any]], rows: int, dtype: type) -> NDArray[Any]:
    return np.column_stack(columns) if columns else np.empty((rows, 0), dtype)
