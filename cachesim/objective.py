"""What a hit is worth: the one definition that training, the baselines' scores and the live cache share.

`fit_objective` turns the weights of columns into an `Objective`, with the means of the training span; `value_of` is the
compiled formula, for one request.
"""

import math
from typing import NamedTuple

import numpy as np

from cachesim.compiled import kernel
from schemas.errors import ConfigError
from schemas.names import nearest
from schemas.trace import FloatArray, Trace

BUILT_IN = ("load_time_ms", "size_bytes")  # the first columns of an objective, before the feature columns


class Objective(NamedTuple):
    """The value of a hit: base + the sum over columns of weight * value / mean.

    Attributes:
        base: float64 (1,), 1 when no column is weighed, so that each hit counts 1; else 0.
        weight: float64 (2 + m,), >= 0, of the load time, the size and the m feature columns.
        mean: float64 (2 + m,), > 0, of the training span; 1 where the weight is 0.
    """

    base: FloatArray
    weight: FloatArray
    mean: FloatArray


def unweighted(n_columns: int = 0) -> Objective:
    """Return the objective of which each hit is worth 1, for requests of so many feature columns."""
    width = len(BUILT_IN) + n_columns
    return Objective(np.ones(1), np.zeros(width), np.ones(width))


def fit_objective(trace: Trace, training: int, weights: dict[str, float]) -> Objective:
    """Return what a hit is worth when columns weigh so much.

    Args:
        trace: n requests.
        training: the first so many requests give the means, in [1, n] unless `weights` is empty.
        weights: weight >= 0 of each column: load_time_ms, size_bytes, or a name in `trace.column_names`.

    Raises:
        ConfigError: a column is not known, holds text, a negative or an infinite value, or has no training mean above
            0; or a weight is negative or not finite.
    """
    objective, names = unweighted(len(trace.column_names)), [*BUILT_IN, *trace.column_names]
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ConfigError(f"cache_weights: the weight of {name} must be a number >= 0, got {weight}")
        if name in trace.text_names:
            raise ConfigError(f"cache_weights: {name} holds text; only numbers weigh hits")
        if name not in names:
            raise ConfigError(f"cache_weights: unknown column {name}{nearest(name, names)}")
        objective.base[0] = 0.0
        objective.weight[names.index(name)] = weight
        objective.mean[names.index(name)] = _training_mean(name, _column(trace, name), training)
    return objective


def _column(trace: Trace, name: str) -> FloatArray:
    column = getattr(trace, name) if name in BUILT_IN else trace.columns[:, trace.column_names.index(name)]
    return np.asarray(column, np.float64)


def _training_mean(name: str, column: FloatArray, training: int) -> float:
    wrong = np.flatnonzero((column < 0) | np.isinf(column))
    if wrong.size:
        raise ConfigError(
            f"cache_weights: {name} cannot weigh hits, as a hit is worth a number >= 0, "
            f"and it is {column[wrong[0]]:g} at request {wrong[0]}; choose another column"
        )
    known = column[:training][~np.isnan(column[:training])]
    mean = float(known.mean()) if known.size else math.nan
    if not mean > 0:
        raise ConfigError(
            f"cache_weights: {name} cannot weigh hits, its mean over the first {training:,} requests is {mean}; "
            "choose a column with values above 0"
        )
    return mean


def for_columns(objective: Objective, n_columns: int) -> Objective:
    """Return the objective for requests of so many feature columns, those that are new behind and not weighed."""
    more = len(BUILT_IN) + n_columns - objective.weight.size
    return objective._replace(
        weight=np.append(objective.weight, np.zeros(more)), mean=np.append(objective.mean, np.ones(more))
    )


def request_values(trace: Trace, training: int, weights: dict[str, float]) -> FloatArray:
    """Return what a hit on each request is worth, shape (n,); see `fit_objective`, which may raise ConfigError."""
    return values_of(trace, fit_objective(trace, training, weights))


def values_of(trace: Trace, objective: Objective) -> FloatArray:
    """Return what a hit on each request of a trace of m feature columns is worth, shape (n,)."""
    values = np.empty(len(trace))
    _write_values(objective, trace.load_time_ms, trace.size_bytes, np.ascontiguousarray(trace.columns), values)
    return values


@kernel
def _write_values(objective, load_times_ms, sizes_bytes, columns, values):  # type: ignore[no-untyped-def]
    for i in range(values.size):
        values[i] = value_of(objective, load_times_ms[i], sizes_bytes[i], columns[i])


@kernel
def value_of(objective, load_time_ms, size_bytes, columns):  # type: ignore[no-untyped-def]
    """Return what a hit on one request is worth.

    Args:
        objective: for m feature columns.
        load_time_ms: of the object. What is not finite, as NaN, counts as the training mean.
        size_bytes: of the object, >= 1; 0 = unknown, counts as the training mean.
        columns: float32 (m,), likewise.
    """
    value = objective.base[0]
    value += _part(objective, 0, load_time_ms)
    value += _part(objective, 1, np.nan if size_bytes == 0 else float(size_bytes))
    for c in range(columns.size):
        value += _part(objective, 2 + c, columns[c])
    return value


@kernel
def _part(objective, at, x):  # type: ignore[no-untyped-def]
    weight = objective.weight[at]
    if weight == 0:
        return 0.0
    return weight * (x / objective.mean[at] if np.isfinite(x) else 1.0)
