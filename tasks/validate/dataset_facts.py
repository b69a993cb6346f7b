"""What requests are like as a whole: counts and shares, each a number to be held against an expectation."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from schemas.expectations import (
    DISTINCT_KEYS,
    LARGEST_SHARE,
    REPEATED_SHARE,
    REQUESTS,
    SPAN_S,
    unknown_share,
)
from schemas.trace import IntArray
from tasks.extract.to_trace import object_codes


def facts_of(rows: pd.DataFrame, needed_columns: Iterable[str]) -> dict[str, float]:
    """Return the facts by name; shares of no requests are 0.

    Args:
        rows: of `read_rows`, none or more.
        needed_columns: whose share of unknown values is wanted.
    """
    objects, distinct = pd.factorize(object_codes(rows))
    requests, timestamp = len(rows), rows["timestamp"].to_numpy(np.int64)
    return {
        REQUESTS: requests,
        DISTINCT_KEYS: len(distinct),
        REPEATED_SHARE: _share(requests - len(distinct), requests),
        LARGEST_SHARE: _share(int(np.bincount(objects, minlength=1).max()), requests),
        SPAN_S: float(timestamp[-1] - timestamp[0]) / 1e6 if requests else 0.0,
        **{unknown_share(name): _share(_unknown(rows[name], objects), requests) for name in needed_columns},
    }


def _unknown(column: pd.Series, objects: IntArray) -> int:
    """Requests without a value where a Trace has none either: a size is known once the object had one."""
    known = column.notna().to_numpy()
    if column.name != "size_bytes":
        return int((~known).sum())
    first_known = np.full(objects.max(initial=-1) + 1, len(known))
    np.minimum.at(first_known, objects[known], np.flatnonzero(known))
    return int((np.arange(len(known)) < first_known[objects]).sum())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def is_duplicate(rows: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which rows equal an earlier one in all but their id."""
    pairs = pd.DataFrame({"timestamp": rows["timestamp"], "object": object_codes(rows)})
    alike = np.flatnonzero(pairs.duplicated(keep=False))  # few: only these are compared as a whole
    duplicate = np.zeros(len(rows), np.bool_)
    duplicate[alike] = rows.iloc[alike].drop(columns="id").duplicated()
    return duplicate
