"""ARC: two LRU lists, of what was requested once and more often, that share the capacity as their ghosts demand.

Megiddo, Modha: ARC, a self-tuning, low overhead replacement cache. FAST 2003.

The paper counts pages, lets the names in T1 and B1 stand for one capacity and all names for two. Here charges are
summed, and as in libCacheSim a ghost hit moves the target by at least one unit of charge and each eviction for a
newcomer forgets at most one name. With charges that differ this may leave more names than the paper's; unlike in
libCacheSim, ghosts never stand for more than two capacities.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel
from cachesim.policies.parts.ledger import (
    LIMIT,
    Ledger,
    admissible,
    book_admission,
    book_eviction,
    book_removal,
    empty_ledger,
    hits,
    is_full,
    outlived,
)
from cachesim.policies.parts.loop import kernels_with
from cachesim.policies.parts.queues import NOWHERE, Queues, empty_queues, enter, first, knows_members, leave, renew
from cachesim.requests import Requests

ONCE, OFTEN, ONCE_GHOST, OFTEN_GHOST = range(4)  # T1, T2, B1, B2


class State(NamedTuple):
    """The ledger, the queues T1, T2, B1 and B2, and float64 (1,): the target p of T1, in charge, in [0, limit]."""

    ledger: Ledger
    queues: Queues
    target: NDArray[np.float64]


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    return State(empty_ledger(n_keys, limit), empty_queues(n_keys, limit, limit, limit, 2 * limit), np.zeros(1))


@inner_kernel
def _recall(state: State, key: int) -> int:
    """Return which ghost queue remembers `key`, or NOWHERE; forget it there and move the target."""
    queues = state.queues
    ghost = int(queues.place[key])
    if ghost != ONCE_GHOST and ghost != OFTEN_GHOST:
        return NOWHERE
    other = ONCE_GHOST + OFTEN_GHOST - ghost
    step = max(1.0, queues.used[other] / queues.used[ghost])
    if ghost == ONCE_GHOST:
        state.target[0] = min(state.target[0] + step, float(state.ledger.counts[LIMIT]))
    else:
        state.target[0] = max(state.target[0] - step, 0.0)
    leave(queues, key)
    return ghost


@inner_kernel
def _evict(state: State, ghost: int) -> None:
    """Evict the oldest of ONCE when it exceeds its target, or else of OFTEN, for an object that `ghost` remembered."""
    queues, once = state.queues, state.queues.used[ONCE]
    exceeds = once > state.target[0] or (once == state.target[0] and ghost == OFTEN_GHOST)
    queue = ONCE if (exceeds and once > 0) or queues.used[OFTEN] == 0 else OFTEN
    key = first(queues, queue)
    leave(queues, key)
    enter(queues, queue + ONCE_GHOST, key, queues.charge[key])
    book_eviction(state.ledger, key)


@inner_kernel
def _forget_once(state: State, charge: int) -> None:
    """Drop a name for a newcomer of this charge, if T1 and B1 are beyond one capacity or all names at two."""
    queues, used, limit = state.queues, state.queues.used, state.ledger.counts[LIMIT]
    if used[ONCE] + used[ONCE_GHOST] + charge > limit:
        if used[ONCE_GHOST] > 0:
            leave(queues, first(queues, ONCE_GHOST))
    elif used[OFTEN_GHOST] > 0 and used[ONCE] + used[OFTEN] + used[ONCE_GHOST] + used[OFTEN_GHOST] >= 2 * limit:
        leave(queues, first(queues, OFTEN_GHOST))


@inner_kernel
def _forget_excess(state: State) -> None:
    """Drop the oldest names of the larger side until ghosts stand for at most two capacities."""
    limit, used = state.ledger.counts[LIMIT], state.queues.used
    while used[ONCE_GHOST] + used[OFTEN_GHOST] > 2 * limit:
        ghost = ONCE_GHOST if used[ONCE] + used[ONCE_GHOST] > limit else OFTEN_GHOST
        leave(state.queues, first(state.queues, ghost))


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key = requests.key[i]
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if not hits(state.ledger, key):
        return False
    if state.queues.place[key] == OFTEN:
        renew(state.queues, key)
    else:
        leave(state.queues, key)
        enter(state.queues, OFTEN, key, state.queues.charge[key])
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    ghost = _recall(state, requests.key[i])
    if not admissible(state.ledger, requests, i):
        return False
    while is_full(state.ledger, requests.charge[i]):
        _evict(state, ghost)
        if ghost == NOWHERE:
            _forget_once(state, requests.charge[i])
    enter(state.queues, ONCE if ghost == NOWHERE else OFTEN, requests.key[i], requests.charge[i])
    book_admission(state.ledger, requests, i)
    _forget_excess(state)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    leave(state.queues, key)
    book_removal(state.ledger, key)


knows = knows_members
replay, steps = kernels_with(globals())
