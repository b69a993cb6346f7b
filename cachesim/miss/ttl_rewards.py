"""What the recorded span knows of times to live: what each would have gained, and which one an endpoint should have.

A copy that request i fetched is served until its time to live is over, or until it is evicted: that is taken to happen
where the object is not requested for as many requests as a cache of that size keeps an object (the characteristic time
of Che, Tung, Wang: Hierarchical web caching systems, IEEE JSAC 20 (7), 2002). A hit is worth its value, less the
staleness weight times its value where the copy's version is no longer that of the request.

The next request of the object is a miss that decides anew. So that each decision can be judged alone, its reward counts
what would follow it under the best fixed time to live of the endpoint (potential-based shaping: Ng, Harada, Russell,
ICML 1999): gain of the life + potential of the next miss - potential of this one. It is what the decision gains over
the fixed time to live, and the rewards of an episode sum to that of the whole.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import kernel
from schemas.errors import ConfigError, TraceError
from schemas.trace import FloatArray, IntArray, Trace

MINUTE_S, HOUR_S, DAY_S = 60.0, 3_600.0, 86_400.0
DEFAULT_LADDER_S = (
    *(0.0, 10.0, 30.0, MINUTE_S, 2 * MINUTE_S, 5 * MINUTE_S, 10 * MINUTE_S, 15 * MINUTE_S, 30 * MINUTE_S),
    *(HOUR_S, 2 * HOUR_S, 6 * HOUR_S, 12 * HOUR_S, DAY_S, np.inf),
)
"""Times to live to choose from, in seconds: 0 = not stored, inf = until it is evicted."""


class Visits(NamedTuple):
    """The requests of a span sorted by object, then time: visit v is request `order[v]`.

    Attributes:
        order: int64 (n,), positions in the span.
        time_s: float64 (n,), of each visit.
        last: int64 (n,), behind the object's last visit.
        kept_until: int64 (n,), the first later visit that finds the object evicted, or `last`.
        value_before: float64 (n + 1,), sum of the values of the visits before v.
        place: int64 (n,), of each visit among the visits sorted by object, version, then time.
        visit: int64 (n,), the visit at each place.
        version_end: int64 (n,), behind the places of the same object and version.
        value_before_place: float64 (n + 1,), sum of the values at the places before p.
    """

    order: IntArray
    time_s: FloatArray
    last: IntArray
    kept_until: IntArray
    value_before: FloatArray
    place: IntArray
    visit: IntArray
    version_end: IntArray
    value_before_place: FloatArray


class Lives(NamedTuple):
    """What becomes of the copy that each visit would store with a certain time to live.

    Attributes:
        hits: float64 (n,), value of the hits on it.
        stale: float64 (n,), value of those that are stale.
        following: int64 (n,), the object's next miss, or behind its last visit.
    """

    hits: FloatArray
    stale: FloatArray
    following: IntArray

    def gain(self, staleness_weight: float) -> FloatArray:
        """Return what each life is worth: its hits, less the weighted stale ones."""
        return self.hits - staleness_weight * self.stale


def require_ladder(ladder_s: Sequence[float]) -> FloatArray:
    """Return the times to live as an array; ConfigError unless they are at least two that rise from 0 or more."""
    ladder = np.array(ladder_s, np.float64)
    if ladder.size < 2 or not (ladder[0] >= 0 and np.all(ladder[1:] > ladder[:-1])):
        raise ConfigError(f"the times to live must be at least two rising numbers of seconds >= 0, got {ladder_s}")
    return ladder


def require_versions(trace: Trace) -> IntArray:
    """Return the content versions; TraceError when the requests come without."""
    if trace.version is None:
        raise TraceError("times to live need origin_version, which says when content changed: no request has one")
    return trace.version


def visits_of(span: Trace, values: FloatArray, kept_requests: float) -> Visits:
    """Sort the requests of a span by object.

    Args:
        span: n requests, with versions.
        values: float64 (n,), what a hit on each is worth.
        kept_requests: for how many requests to others the cache keeps an object, > 0; inf or NaN = for ever.

    Raises:
        TraceError: the requests have no versions.
    """
    n, version = len(span), require_versions(span)
    order = np.argsort(span.key, kind="stable")
    key = span.key[order]
    by_version = np.lexsort((version[order], key))
    same_key = key[1:] == key[:-1]
    placed = np.stack([key, version[order]])[:, by_version]
    same_version = (placed[:, 1:] == placed[:, :-1]).all(axis=0)
    kept = same_key & ~(np.diff(order) > kept_requests)
    place = np.empty(n, np.int64)
    place[by_version] = np.arange(n)
    value = values[order]
    return Visits(
        order=order,
        time_s=span.timestamp_s[order],
        last=_run_ends(same_key, n),
        kept_until=_run_ends(kept, n),
        value_before=_sums_before(value),
        place=place,
        visit=by_version,
        version_end=_run_ends(same_version, n),
        value_before_place=_sums_before(value[by_version]),
    )


def _run_ends(continues: NDArray[np.bool_], n: int) -> IntArray:
    """Return behind which index the run of each ends; entry i of `continues` (n - 1,) says that i + 1 goes on."""
    ends = np.append(np.flatnonzero(~continues) + 1, n)[: n or None]
    starts = np.concatenate([[0], ends[:-1]])
    return np.repeat(ends, ends - starts) if n else np.zeros(0, np.int64)


def _sums_before(values: FloatArray) -> FloatArray:
    return np.concatenate([[0.0], np.cumsum(values)])


def lives_of(visits: Visits, ttl_s: float) -> Lives:
    """Return what becomes of each visit's copy with this time to live; 0 = it is not stored."""
    n = visits.order.size
    lives = Lives(np.zeros(n), np.zeros(n), np.arange(1, n + 1))
    if ttl_s > 0:
        _live(visits, ttl_s, lives)
    return lives


@kernel
def _live(visits: Visits, ttl_s: float, lives: Lives) -> None:
    for v in range(visits.order.size):
        end = _first_at_least(visits.time_s, v + 1, visits.kept_until[v], visits.time_s[v] + ttl_s)
        place = visits.place[v]
        fresh_end = _first_at_least(visits.visit, place + 1, visits.version_end[place], end)
        hits = visits.value_before[end] - visits.value_before[v + 1]
        lives.hits[v] = hits
        lives.stale[v] = hits - (visits.value_before_place[fresh_end] - visits.value_before_place[place + 1])
        lives.following[v] = end


@kernel
def _first_at_least(values, start: int, stop: int, least) -> int:  # type: ignore[no-untyped-def]
    """Return the first index in [start, stop) whose value is at least `least`, else `stop`; the values rise."""
    while start < stop:
        middle = (start + stop) // 2
        if values[middle] < least:
            start = middle + 1
        else:
            stop = middle
    return start


def totals(visits: Visits, following: IntArray, gain: FloatArray) -> FloatArray:
    """Return the gain of each visit's life and of all that follow it, float64 (n,)."""
    sums = np.zeros(gain.size)
    _total(visits.last, following, gain, sums)
    return sums


@kernel
def _total(last: IntArray, following: IntArray, gain: FloatArray, sums: FloatArray) -> None:
    for v in range(gain.size - 1, -1, -1):
        sums[v] = gain[v]
        if following[v] < last[v]:
            sums[v] += sums[following[v]]


def life_rewards(
    span: Trace, values: FloatArray, kept_requests: float, ladder_s: FloatArray, staleness_weight: float
) -> NDArray[np.float32]:
    """Return what each time to live would gain if each request were a miss, over the endpoint's best fixed one.

    Args:
        span: n requests, with versions; what lies behind them counts for nothing.
        values: float64 (n,), what a hit on each is worth.
        kept_requests: see `visits_of`.
        ladder_s: float64 (m,), see `require_ladder`.
        staleness_weight: >= 0.

    Returns:
        float32 (n, m), see the head of this module.

    Raises:
        TraceError: the requests have no versions.
    """
    visits = visits_of(span, values, kept_requests)
    fixed = best_fixed(span, visits, ladder_s, staleness_weight)[span.endpoint[visits.order]]
    gain, following = np.zeros(len(span)), np.zeros(len(span), np.int64)
    for rung, ttl_s in enumerate(ladder_s):
        lives, chosen = lives_of(visits, ttl_s), fixed == rung
        gain[chosen] = lives.gain(staleness_weight)[chosen]
        following[chosen] = lives.following[chosen]
    potential = np.append(totals(visits, following, gain), 0.0)
    rewards = np.empty((len(span), ladder_s.size), np.float32)
    for rung, ttl_s in enumerate(ladder_s):
        lives = lives_of(visits, ttl_s)
        later = np.where(lives.following < visits.last, potential[lives.following], 0.0)
        rewards[visits.order, rung] = lives.gain(staleness_weight) + later - potential[:-1]
    return rewards


def best_fixed(span: Trace, visits: Visits, ladder_s: FloatArray, staleness_weight: float) -> IntArray:
    """Return the index of the fixed time to live that gains most at each endpoint, int64 (endpoints,)."""
    gains = [_by_endpoint(span, visits, lives_of(visits, t), staleness_weight)[0] for t in ladder_s]
    best: IntArray = np.argmax(np.stack(gains), axis=0).astype(np.int64)
    return best


def lifetimes_within(
    span: Trace, kept_requests: float, budget: float, ladder_s: Sequence[float] = DEFAULT_LADDER_S
) -> FloatArray:
    """Return for each endpoint the time to live that hits most while its stale hits stay within a budget.

    Args:
        span: the training span, with versions.
        kept_requests: see `visits_of`.
        budget: the share of an endpoint's hits that may be stale, in [0, 1].
        ladder_s: times to live to choose from, see `require_ladder`; none that fits gives 0, not stored.

    Returns:
        float64 (endpoints,), seconds.

    Raises:
        ConfigError: the budget or the ladder is outside its range.
        TraceError: the requests have no versions.
    """
    if not 0 <= budget <= 1:
        raise ConfigError(f"the staleness budget must be a share of the hits in [0, 1], got {budget}")
    ladder = require_ladder(ladder_s)
    visits = visits_of(span, np.ones(len(span)), kept_requests)
    best_s, most = np.zeros(len(span.endpoint_names)), np.zeros(len(span.endpoint_names))
    for ttl_s in ladder:
        hits, stale = _by_endpoint(span, visits, lives_of(visits, ttl_s), 0.0)
        better = (stale <= budget * hits) & (hits > most)
        best_s[better], most[better] = ttl_s, hits[better]
    return best_s


def _by_endpoint(span: Trace, visits: Visits, lives: Lives, staleness_weight: float) -> tuple[FloatArray, FloatArray]:
    """Return the gain of a fixed time to live at each endpoint, and the value of its stale hits."""
    first = np.flatnonzero(np.append(True, visits.last[:-1] != visits.last[1:])[: len(span)])
    endpoint, n = span.endpoint[visits.order[first]], len(span.endpoint_names)

    def summed(amount: FloatArray) -> FloatArray:
        sums: FloatArray = np.bincount(endpoint, totals(visits, lives.following, amount)[first], n).astype(np.float64)
        return sums

    return summed(lives.gain(staleness_weight)), summed(lives.stale)
