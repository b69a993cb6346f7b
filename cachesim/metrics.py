"""How good a replay was, over a span of its requests."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.trace import FloatArray, Trace


@dataclass(frozen=True)
class Score:
    """Ratios in [0, 1] over the requests of a span; None where there is nothing to divide by.

    Attributes:
        requests: how many.
        hit_ratio: hits / requests.
        byte_hit_ratio: bytes of the hits / bytes of all.
        saved_load_time_ratio: load time of the hits / load time of all, over the requests whose load time is known.
        value_ratio: value of the hits / value of all; None also without values.
    """

    requests: int
    hit_ratio: float | None
    byte_hit_ratio: float | None
    saved_load_time_ratio: float | None
    value_ratio: float | None


def score(trace: Trace, hit: NDArray[np.bool_], span: slice, values: FloatArray | None = None) -> Score:
    """Return the score of the requests in `span`.

    Args:
        trace: n requests.
        hit: shape (n,), which ones hit.
        span: the requests to judge.
        values: shape (n,), what a hit on each is worth, see `objective.request_values`.
    """
    hit = hit[span]
    load_time_ms = trace.load_time_ms[span].astype(np.float64)
    known = ~np.isnan(load_time_ms)
    return Score(
        requests=int(hit.size),
        hit_ratio=_share(np.ones(hit.size), hit),
        byte_hit_ratio=_share(trace.size_bytes[span].astype(np.float64), hit),
        saved_load_time_ratio=_share(load_time_ms[known], hit[known]),
        value_ratio=None if values is None else _share(values[span], hit),
    )


def _share(weight: FloatArray, hit: NDArray[np.bool_]) -> float | None:
    """Return the share of the weight that is on hits, None when there is no weight."""
    total = float(weight.sum())
    return float(weight[hit].sum()) / total if total > 0 else None
