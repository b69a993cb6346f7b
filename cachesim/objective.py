"""What a hit is worth: the one definition that training, the baselines' scores and the service share."""

import math

import numpy as np

from schemas.errors import ConfigError
from schemas.names import nearest
from schemas.trace import FloatArray, Trace


def request_values(trace: Trace, training: int, weights: dict[str, float]) -> FloatArray:
    """Return what a hit on each request is worth: sum over columns of weight * value / mean value in training.

    Args:
        trace: n requests.
        training: the first so many requests give the means, in [1, n] unless `weights` is empty.
        weights: weight >= 0 of each column: load_time_ms, size_bytes, or a name in `trace.column_names`.

    Returns:
        shape (n,); 1 everywhere when `weights` is empty. An unknown value (NaN) counts as the training mean.

    Raises:
        ConfigError: a column is not known, holds text, a negative or an infinite value, or has no training mean above
            0; or a weight is negative or not finite.
    """
    values = np.full(len(trace), 0.0 if weights else 1.0)
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ConfigError(f"cache_weights: the weight of {name} must be a number >= 0, got {weight}")
        values += weight * _relative(name, _column(trace, name), training)
    return values


def _column(trace: Trace, name: str) -> FloatArray:
    if name in ("load_time_ms", "size_bytes"):
        return np.asarray(getattr(trace, name), np.float64)
    if name in trace.column_names:
        return trace.columns[:, trace.column_names.index(name)].astype(np.float64)
    if name in trace.text_names:
        raise ConfigError(f"cache_weights: {name} holds text; only numbers weigh hits")
    known = ["load_time_ms", "size_bytes", *trace.column_names]
    raise ConfigError(f"cache_weights: unknown column {name}{nearest(name, known)}")


def _relative(name: str, column: FloatArray, training: int) -> FloatArray:
    """Return `column` in units of its training mean, 1 where it is unknown."""
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
            f"cache_weights: {name} cannot weigh hits, its mean over the {training} training requests is {mean}; "
            "choose a column with values above 0"
        )
    return np.where(np.isnan(column), 1.0, column / mean)
