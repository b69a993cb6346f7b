"""How good a replay was, over a span of its requests."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import kernel
from cachesim.replay import Activity, Outcome
from schemas.errors import ConfigError
from schemas.trace import FloatArray, IntArray, Trace

HIT_MS = 1.0  # what a hit takes, when nothing is said: a round trip to a cache in the same data centre


@dataclass(frozen=True)
class Score:
    """How a span was served; ratios lie in [0, 1], and what has nothing to divide by is None.

    Attributes:
        requests: how many.
        hit_ratio: hits / requests.
        byte_hit_ratio: bytes of the hits / bytes of all.
        saved_load_time_ratio: load time of the hits / load time of all, over the requests whose load time is known.
        mean_latency_ms, p95_latency_ms: of what is served, over the same requests: a miss takes its load time.
        stale_ratio: hits whose copy is of another content version than the request's / hits; None without versions.
        value_ratio: value of the hits, less the weighted value of the stale ones / value of all; at most 1, and below 0
            where stale hits weigh more than 1; None also without values.
    """

    requests: int
    hit_ratio: float | None
    byte_hit_ratio: float | None
    saved_load_time_ratio: float | None
    mean_latency_ms: float | None
    p95_latency_ms: float | None
    stale_ratio: float | None
    value_ratio: float | None


def score(
    trace: Trace,
    hit: NDArray[np.bool_],
    span: slice,
    values: FloatArray | None = None,
    *,
    staleness_weight: float = 0.0,
    hit_ms: float = HIT_MS,
) -> Score:
    """Return the score of the requests in `span`.

    Args:
        trace: n requests.
        hit: shape (n,), which ones hit.
        span: the requests to judge.
        values: shape (n,), what a hit on each is worth, see `objective.request_values`.
        staleness_weight: see `gains`.
        hit_ms: how long a hit takes, in milliseconds, >= 0.

    Raises:
        ConfigError: `hit_ms` is below 0 or not a number.
    """
    if not 0 <= hit_ms < np.inf:
        raise ConfigError(f"hit_ms must be a number of milliseconds >= 0, got {hit_ms}")
    hits = hit[span]
    load_time_ms = trace.load_time_ms[span].astype(np.float64)
    known = ~np.isnan(load_time_ms)
    latency_ms = np.where(hits, hit_ms, load_time_ms)[known]
    stale = None if trace.version is None else stale_hits(trace, hit)[span]
    return Score(
        requests=int(hits.size),
        hit_ratio=_share(np.ones(hits.size), hits),
        byte_hit_ratio=_share(trace.size_bytes[span].astype(np.float64), hits),
        saved_load_time_ratio=_share(load_time_ms[known], hits[known]),
        mean_latency_ms=float(latency_ms.mean()) if latency_ms.size else None,
        p95_latency_ms=float(np.percentile(latency_ms, 95)) if latency_ms.size else None,
        stale_ratio=None if stale is None else _share(hits.astype(np.float64), stale),
        value_ratio=None if values is None else _share(values[span], gains(trace, hit, staleness_weight)[span]),
    )


def gains(trace: Trace, hit: NDArray[np.bool_], staleness_weight: float) -> FloatArray:
    """Return what each request gains, in units of what a fresh hit on it is worth, float64 (n,).

    A miss gains 0, a fresh hit 1, a stale one 1 - staleness_weight: with a weight of 0 staleness does not matter, with
    1 a stale hit is worth nothing, with 2 it costs as much as a fresh one gains. Without versions no hit is known to be
    stale.
    """
    return hit.astype(np.float64) - (staleness_weight * stale_hits(trace, hit) if staleness_weight else 0.0)


def stale_hits(trace: Trace, hit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which requests were served a copy of another content version, shape (n,); none without versions.

    A copy is of the version that its object had at its last miss: what hits was stored then.
    """
    stale = np.zeros(len(trace), np.bool_)
    if trace.version is not None:
        _mark_stale(trace.key, trace.version, hit, np.zeros(trace.n_keys, np.int64), stale)
    return stale


@kernel
def _mark_stale(
    key: IntArray, version: IntArray, hit: NDArray[np.bool_], stored: IntArray, stale: NDArray[np.bool_]
) -> None:
    for i in range(key.size):
        if hit[i]:
            stale[i] = stored[key[i]] != version[i]
        else:
            stored[key[i]] = version[i]


@dataclass(frozen=True)
class Window:
    """One span of a time series: the requests [start, stop), how they were served, and what the cache did."""

    start: int
    stop: int
    score: Score
    activity: Activity


def series(trace: Trace, outcome: Outcome, values: FloatArray | None = None, *, hit_ms: float = HIT_MS) -> list[Window]:
    """Return one window between each two marks of a replay.

    Args:
        trace: the requests that were replayed.
        outcome: of a replay with `marks`, e.g. `window_marks`.
        values: as in `score`.
        hit_ms: as in `score`.
    """
    edges = outcome.marks.tolist()
    return [
        Window(a, b, score(trace, outcome.hit, slice(a, b), values, hit_ms=hit_ms), outcome.between(a, b))
        for a, b in itertools.pairwise(edges)
    ]


def window_marks(requests: int, windows: int) -> Sequence[int]:
    """Return the positions that cut n requests into so many windows of equal length, or fewer when n is small."""
    marks: list[int] = np.unique(np.linspace(0, requests, windows + 1).astype(np.int64)).tolist()
    return marks


def _share(weight: FloatArray, chosen: NDArray[np.bool_] | FloatArray) -> float | None:
    """Return the share of the weight that is on the chosen, None when there is no weight."""
    total = float(weight.sum())
    return float((weight * chosen).sum()) / total if total > 0 else None
