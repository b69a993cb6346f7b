"""W-TinyLFU: newcomers wait in a small LRU window, and enter the main cache if they were counted more often.

Einziger, Friedman, Manes: TinyLFU, a highly efficient cache admission policy. ACM Transactions on Storage 13 (4), 2017.

The window has 1 % of the capacity, or 2 objects where that is less than one; the main cache is an SLRU of which 80 % is
protected. What leaves the window takes the place of the main cache's victim if the sketch has counted it more often.

As in libCacheSim, the sketch counts admissions, departures from the window and hits in the main cache, has no
doorkeeper, and is halved after as many hits in the main cache as 32 times its objects. Also as there, both parts of the
main cache have a limit, so that a hit that fills the protected part evicts the oldest object on probation, and the next
departure from the window finds room. There this is so unless the main cache's size is a multiple of 5, where rounding
leaves no slack and the hit ratio falls (orm_busy: .501 with 443 objects, .416 with 444); here it is always so. Unlike
there, an object larger than the window may enter, and with bytes the counts are halved too.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel
from cachesim.policies.parts.ledger import (
    LIMIT,
    RESIDENTS,
    USED,
    Ledger,
    admissible,
    book_admission,
    book_eviction,
    book_removal,
    empty_ledger,
    hits,
    is_full,
    knows_residents,
    outlived,
)
from cachesim.policies.parts.loop import kernels_with
from cachesim.policies.parts.queues import Queues, empty_queues, enter, first, leave, renew
from cachesim.requests import Requests
from cachesim.structures.sketch import Sketch, count, empty_sketch, estimate, halve

WINDOW, PROBATION, PROTECTED = range(3)
WINDOW_SHARE, LEAST_WINDOW = 0.01, 2
PROTECTED_SHARE = 0.8  # of the main cache
HITS_AN_OBJECT = 32  # in the main cache, after which the counts are halved,
MOST_HALVED_A_HIT = 64  # if that is not more counters than these for each hit


class State(NamedTuple):
    """What is known of objects.

    Attributes:
        ledger: the ledger.
        queues: WINDOW, PROBATION and PROTECTED, each in order of the last requests.
        name: int64 (n_keys,), under which each resident is counted, now and when it comes back with another code.
        sketch: how often objects were counted.
    """

    ledger: Ledger
    queues: Queues
    name: NDArray[np.int64]
    sketch: Sketch


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    window = int(WINDOW_SHARE * limit) or min(LEAST_WINDOW, limit)
    main = limit - window
    protected = int(PROTECTED_SHARE * main)
    queues = empty_queues(n_keys, window, max(0, main - protected - 1), protected)
    return State(empty_ledger(n_keys, limit), queues, np.zeros(n_keys, np.int64), empty_sketch(main))


@inner_kernel
def _count(state: State, key: int) -> None:
    count(state.sketch, state.name[key])


@inner_kernel
def _estimate(state: State, key: int) -> int:
    return int(estimate(state.sketch, state.name[key]))


@inner_kernel
def _main_limit(state: State) -> int:
    return int(state.ledger.counts[LIMIT] - state.queues.limit[WINDOW])


@inner_kernel
def _fits_main(state: State, charge: int) -> bool:
    queues = state.queues
    return bool(queues.used[PROBATION] + queues.used[PROTECTED] + charge <= _main_limit(state))


@inner_kernel
def _fits(queues: Queues, queue: int, charge: int) -> bool:
    return bool(queues.used[queue] + charge <= queues.limit[queue])


@inner_kernel
def _enter_main(queues: Queues, key: int) -> None:
    """Move `key` from the window to the main cache: on probation, unless only the protected part has room."""
    charge = queues.charge[key]
    leave(queues, key)
    protected = not _fits(queues, PROBATION, charge) and _fits(queues, PROTECTED, charge)
    enter(queues, PROTECTED if protected else PROBATION, key, charge)


@inner_kernel
def _main_victim(queues: Queues) -> int:
    return int(first(queues, PROBATION if queues.used[PROBATION] > 0 else PROTECTED))


@inner_kernel
def _evict(state: State, key: int) -> None:
    leave(state.queues, key)
    book_eviction(state.ledger, key)


@inner_kernel
def _promote(state: State, key: int) -> None:
    """Protect `key`, which was on probation; who is displaced goes back there, and may push the oldest out."""
    queues = state.queues
    charge = queues.charge[key]
    leave(queues, key)
    enter(queues, PROTECTED, key, charge)
    while queues.used[PROTECTED] > queues.limit[PROTECTED]:
        displaced = first(queues, PROTECTED)
        charge = queues.charge[displaced]
        leave(queues, displaced)
        enter(queues, PROBATION, displaced, charge)
    while queues.used[PROBATION] > queues.limit[PROBATION] and first(queues, PROBATION) != key:
        _evict(state, first(queues, PROBATION))


@inner_kernel
def _make_room(state: State) -> None:
    """Decide about the oldest of the window: it moves to the main cache, in place of others if need be, or is evicted.

    An empty window leaves the main cache to give up its victim.
    """
    queues = state.queues
    if queues.used[WINDOW] == 0:
        _evict(state, _main_victim(queues))
        return
    key = first(queues, WINDOW)
    charge = queues.charge[key]
    wins = _fits_main(state, charge) or (
        charge <= _main_limit(state) and _estimate(state, key) > _estimate(state, _main_victim(queues))
    )
    _count(state, key)
    if not wins:
        _evict(state, key)
        return
    while not _fits_main(state, charge):
        _evict(state, _main_victim(queues))
    _enter_main(queues, key)


@inner_kernel
def _count_hit(state: State, key: int) -> None:
    """Count a hit in the main cache; halve the counts when that is due."""
    counts, sketch = state.ledger.counts, state.sketch
    _count(state, key)
    sketch.since_halving[0] += 1
    objects = _main_limit(state) * (counts[RESIDENTS] / counts[USED])  # that fit, of the mean charge
    if sketch.since_halving[0] >= max(HITS_AN_OBJECT * objects, sketch.counters.size / MOST_HALVED_A_HIT):
        halve(sketch)


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key = requests.key[i]
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if not hits(state.ledger, key):
        return False
    place = state.queues.place[key]
    if place == PROBATION:
        _promote(state, key)
    else:
        renew(state.queues, key)
    if place != WINDOW:
        _count_hit(state, key)
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    if not admissible(state.ledger, requests, i):
        return False
    key, charge = requests.key[i], requests.charge[i]
    while is_full(state.ledger, charge):
        _make_room(state)
    enter(state.queues, WINDOW, key, charge)
    state.name[key] = requests.name[i]
    _count(state, key)
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    leave(state.queues, key)
    book_removal(state.ledger, key)


knows = knows_residents
replay, steps = kernels_with(globals())
