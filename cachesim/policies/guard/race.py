"""Which of several policies a cache should follow, judged by what each would have hit.

For each challenger a CUSUM (Page: Continuous inspection schemes. Biometrika 41, 1954) sums what it hit more than the
leader, never below 0. A switch must pay for the objects that the challenger holds and the cache would have to fetch:
their values, weighed by `FETCH_SHARE`, are the greater part of the threshold. Switches in quick succession double that
weight, quiet times halve it.

Hits count by value, in any unit: the constant part of the threshold is `LEAST_HITS` hits of the root mean square value
so far. A sum of n hits' values that only chance drives grows like sqrt(n) times that, so a few objects of great value
switch no sooner than many of equal value.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel, kernel
from schemas.trace import FloatArray, IntArray

LEAST_HITS = 16.0  # that a challenger must be ahead, beside the cost of the switch
FETCH_SHARE = 0.5  # of the objects that a switch must fetch, how many were wanted before they would leave again
MOST_CAUTION = 8.0  # the greatest factor on the cost of a switch
CALM_CAPACITIES = 32  # requests, in capacities in objects, after which a switch is not held against the next one

LEADER, SWITCHES, LAST_SWITCH, REQUESTS = range(4)  # indices of Race.counts


class Race(NamedTuple):
    """How p policies compare.

    Attributes:
        hit: bool (p,), whether each one hit at the current request.
        lead: float64 (p,), >= 0, the CUSUM of each challenger, in value.
        to_fetch: float64 (p,), value of what each one holds and the cache does not.
        led: int64 (p,), for how many requests each one led.
        counts: int64 (4,): the leader, how many switches there were, the request of the last one, and requests so far.
        caution: float64 (1,), factor on the cost of a switch, in [1, MOST_CAUTION].
        mean_square: float64 (1,), of the values of all requests.
        entry: int64 (p,), how many requests pass before each one takes part.
        calm_requests: float64 (1,), see CALM_CAPACITIES.
        least_hits: float64 (1,), see LEAST_HITS.
    """

    hit: NDArray[np.bool_]
    lead: FloatArray
    to_fetch: FloatArray
    led: IntArray
    counts: IntArray
    caution: FloatArray
    mean_square: FloatArray
    entry: IntArray
    calm_requests: FloatArray
    least_hits: FloatArray


def new_race(entry: list[int], leader: int, capacity_objects: float, stride: float) -> Race:
    """Return the race before the first request.

    Args:
        entry: how many requests pass before each policy takes part.
        leader: the first one.
        capacity_objects: of the cache.
        stride: how many requests of all keys one request stands for, >= 1: the keys are a sample when it is above 1.
    """
    policies, calm_requests = len(entry), CALM_CAPACITIES * capacity_objects
    return Race(
        hit=np.zeros(policies, np.bool_),
        lead=np.zeros(policies),
        to_fetch=np.zeros(policies),
        led=np.zeros(policies, np.int64),
        counts=np.array([leader, 0, 0, 0], np.int64),
        caution=np.ones(1),
        mean_square=np.zeros(1),
        entry=np.array(entry, np.int64),
        calm_requests=np.array([calm_requests]),
        least_hits=np.array([LEAST_HITS / np.sqrt(stride)]),
    )


@kernel
def judge(race: Race, value: float) -> bool:
    """Count the current request, of which a hit is worth `value`; return whether the leader changed."""
    leader = race.counts[LEADER]
    race.led[leader] += 1
    race.counts[REQUESTS] += 1
    race.mean_square[0] += (value * value - race.mean_square[0]) / race.counts[REQUESTS]
    for p in range(race.hit.size):
        if race.counts[REQUESTS] > race.entry[p]:
            race.lead[p] = max(0.0, race.lead[p] + value * (int(race.hit[p]) - int(race.hit[leader])))
    best = _best(race, leader)
    if best == leader:
        return False
    _hand_over(race, best)
    return True


@inner_kernel
def _best(race: Race, leader: int) -> int:
    """Return the challenger that is furthest beyond its threshold, or the leader when none is beyond it."""
    least_lead = race.least_hits[0] * np.sqrt(race.mean_square[0])
    best, margin = leader, 0.0
    for p in range(race.lead.size):
        beyond = race.lead[p] - (least_lead + race.caution[0] * FETCH_SHARE * race.to_fetch[p])
        if p != leader and beyond > margin:
            best, margin = p, beyond
    return best


@inner_kernel
def _hand_over(race: Race, leader: int) -> None:
    counts, caution = race.counts, race.caution
    soon = counts[SWITCHES] > 0 and counts[REQUESTS] - counts[LAST_SWITCH] < race.calm_requests[0]
    caution[0] = min(2 * caution[0], MOST_CAUTION) if soon else max(1.0, caution[0] / 2)
    race.lead[:] = 0.0
    counts[LEADER] = leader
    counts[LAST_SWITCH] = counts[REQUESTS]
    counts[SWITCHES] += 1
