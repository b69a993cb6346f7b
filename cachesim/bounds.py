"""PFOO-L: an upper bound on what any cache, even one that knows the future, can gain with sizes and values.

Berger, Beckmann, Harchol-Balter: Practical bounds on optimal caching with variable object sizes. Proceedings of the ACM
on Measurement and Analysis of Computing Systems 2 (2), 2018 (SIGMETRICS).

For a hit, the object must lie in the cache since its previous request: that takes its size times the number of requests
in between. The cache offers its capacity times the number of requests in the span. PFOO-L asks only that the sums fit,
not that it fits at every moment, and so may take the intervals of most value for their space, the last one in part.
"""

import numpy as np

from cachesim.capacity import Capacity
from cachesim.compiled import kernel
from cachesim.metrics import Score
from cachesim.requests import fixed
from schemas.errors import ConfigError
from schemas.trace import FloatArray, IntArray, Trace

ALL = slice(None)
PFOO = "pfoo"  # its name among policies


def pfoo_score(trace: Trace, capacity: Capacity, span: slice = ALL, values: FloatArray | None = None) -> Score:
    """Return the bounds of the ratios in a score of `span`, each on its own; the rest of the score is None.

    Arguments and errors as of `pfoo_hits`, but without values there is no bound of their ratio.
    """

    def ratio(weight: FloatArray) -> float | None:
        return pfoo_ratio(trace, capacity, weight, span)

    return Score(
        requests=len(range(*span.indices(len(trace)))),
        hit_ratio=ratio(np.ones(len(trace))),
        byte_hit_ratio=ratio(trace.size_bytes.astype(np.float64)),
        saved_load_time_ratio=ratio(np.nan_to_num(trace.load_time_ms)),
        mean_latency_ms=None,
        p95_latency_ms=None,
        stale_ratio=None,
        value_ratio=None if values is None else ratio(values),
    )


def pfoo_ratio(trace: Trace, capacity: Capacity, values: FloatArray | None = None, span: slice = ALL) -> float | None:
    """Return the share of the value of all requests in `span` that no policy exceeds.

    Each measure has its own bound: values of 1 bound the hit ratio, values of `trace.size_bytes` the byte hit ratio.
    Arguments and errors as of `pfoo_hits`. None when the values in `span` do not sum to more than 0.
    """
    values = np.ones(len(trace)) if values is None else values.astype(np.float64)
    total = float(values[span].sum())
    return float(pfoo_hits(trace, capacity, values, span) @ values) / total if total > 0 else None


def pfoo_hits(trace: Trace, capacity: Capacity, values: FloatArray | None = None, span: slice = ALL) -> FloatArray:
    """Return how much of each request hits in the relaxed optimum.

    Before the span any content of the cache is possible, so that an interval costs only from the span's begin on.

    Args:
        trace: n requests.
        capacity: of the cache. An object that was always larger cannot hit; of an object whose size changes, the least
            charge up to the previous request counts, since a cache may hold that copy.
        values: shape (n,), what a hit on each request is worth, see `objective.request_values`; 1 each when unset. A
            hit that is worth 0 or less is never taken.
        span: consecutive requests to judge.

    Returns:
        float64 (n,), in [0, 1], at most one of them a fraction; 0 outside the span.

    Raises:
        ConfigError: there is not one finite value for each request, or the span has a step.
    """
    values = np.ones(len(trace)) if values is None else values.astype(np.float64)
    begin, stop = _checked(len(trace), values, span)
    previous, charge = _intervals(trace, capacity)
    index = np.arange(len(trace))
    possible = (index >= begin) & (index < stop) & (previous >= 0) & (charge <= capacity.limit) & (values > 0)
    chosen = np.flatnonzero(possible)
    length = (chosen - np.maximum(previous[chosen], begin)).astype(np.float64)
    share = np.zeros(len(trace))
    share[chosen] = _fill(length * charge[chosen], values[chosen], float(capacity.limit) * (stop - begin))
    return share


def _checked(n: int, values: FloatArray, span: slice) -> tuple[int, int]:
    """Return begin and end of the span."""
    if values.shape != (n,) or not np.isfinite(values).all():
        raise ConfigError(f"values must be one finite number for each of {n} requests, got shape {values.shape}")
    begin, stop, step = span.indices(n)
    if step != 1:
        raise ConfigError(f"a span must be consecutive requests, got a step of {step}")
    return begin, max(begin, stop)


def _fill(space: FloatArray, value: FloatArray, room: float) -> FloatArray:
    """Return the share of each item in a knapsack that may be filled with parts of items: the best value for `room`."""
    density = np.divide(value, space, out=np.full(space.size, np.inf), where=space > 0)
    order = np.argsort(-density, kind="stable")
    before = np.cumsum(space[order]) - space[order]
    share = np.empty(space.size)
    share[order] = np.clip((room - before) / np.maximum(space[order], 1.0), 0.0, 1.0)
    return share


def _intervals(trace: Trace, capacity: Capacity) -> tuple[IntArray, IntArray]:
    """Return the index of the previous request of each object, or -1, and its least charge up to that one."""
    previous, charge = np.empty(len(trace), np.int64), np.zeros(len(trace), np.int64)
    last, least = np.full(trace.n_keys, -1, np.int64), np.full(trace.n_keys, np.iinfo(np.int64).max)
    _fill_forwards(fixed(trace.key), fixed(capacity.charges(trace)), last, least, previous, charge)
    return previous, charge


@kernel
def _fill_forwards(
    key: IntArray, charges: IntArray, last: IntArray, least: IntArray, previous: IntArray, charge: IntArray
) -> None:
    for i in range(key.size):
        previous[i], charge[i] = last[key[i]], least[key[i]]
        last[key[i]], least[key[i]] = i, min(least[key[i]], charges[i])
