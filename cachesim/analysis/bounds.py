"""What no cache can exceed, not even one that knows the future: the optimum, and PFOO-L for sizes and values.

Belady: A study of replacement algorithms for a virtual-storage computer. IBM Systems Journal 5 (2), 1966.
Carlisle, Lloyd: On the k-coloring of intervals. Discrete Applied Mathematics 59 (3), 1995.
Berger, Beckmann, Harchol-Balter: Practical bounds on optimal caching with variable object sizes. Proceedings of the ACM
on Measurement and Analysis of Computing Systems 2 (2), 2018 (SIGMETRICS).

For a hit, the object must lie in the cache since its previous request. Where all objects take one unit and all hits are
worth the same, the best choice is the largest set of such intervals of which never more overlap than fit, and the
greedy choice finds it: MIN with bypass. Judged on a span, a cache may begin it with whatever was requested before; MIN
that runs from the first request on does not exploit that, and others could exceed it there.

With sizes and values, an interval takes its object's size times the number of requests in between. The cache offers its
capacity times the number of requests in the span. PFOO-L asks only that the sums fit, not that it fits at every moment,
and so may take the intervals of most value for their space, the last one in part.
"""

import numpy as np
from numpy.typing import NDArray

from cachesim.analysis.metrics import Score, score
from cachesim.capacity import Capacity
from cachesim.compiled import kernel
from cachesim.replay import replay
from cachesim.requests import fixed
from schemas.errors import ConfigError
from schemas.trace import FloatArray, IntArray, Trace

ALL = slice(None)
PFOO, OPTIMUM = "pfoo", "optimum"  # their names among policies


def bound_score(trace: Trace, capacity: Capacity, span: slice, values: FloatArray) -> tuple[str, Score]:
    """Return the name and the score of the bound whose value ratio no policy exceeds on `span`.

    That is the optimum where all objects take the same and all hits are worth the same, else PFOO. Of the optimum's
    score only the hit ratio and the value ratio are bounds, of PFOO's every ratio.

    Arguments and errors as of `pfoo_hits`.
    """
    if capacity.unit == "objects" and np.ptp(values[span]) == 0:
        return OPTIMUM, score(trace, optimum_hits(trace, capacity, span), span, values)
    return PFOO, pfoo_score(trace, capacity, span, values)


def optimum_hits(trace: Trace, capacity: Capacity, span: slice) -> NDArray[np.bool_]:
    """Return the hits of a cache that reaches the highest hit ratio on `span`, bool (n,), none outside it.

    It is MIN with bypass that is offered every object of before the span just before that begins.

    Args:
        trace: n requests.
        capacity: of the cache, in objects.
        span: consecutive requests to judge.

    Raises:
        ConfigError: the span has a step, or the capacity is not in objects.
    """
    if capacity.unit != "objects":
        raise ConfigError("the optimum is known for capacities in objects; with bytes take pfoo")
    begin, stop = _checked(len(trace), np.ones(len(trace)), span)
    last_of_each = begin - 1 - np.unique(trace.key[:begin][::-1], return_index=True)[1]
    offered = trace[np.concatenate((np.sort(last_of_each), np.arange(begin, stop)))]
    hit = np.zeros(len(trace), np.bool_)
    hit[begin:stop] = replay(offered, "min-bypass", capacity).hit[last_of_each.size :]
    return hit


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
