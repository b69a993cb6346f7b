"""LIRS: keep what was requested twice within a short time; what was not passes through 1 % of the cache.

Jiang, Zhang: LIRS, an efficient low inter-reference recency set replacement policy. SIGMETRICS 2002.

The stack orders objects by their last requests, down to the oldest resident of LOW inter-reference recency; a resident
of HIGH recency that is requested while it is in the stack changes places with that one. HIGH residents are evicted in
order of their last requests, and as GHOSTs stay in the stack. The paper leaves open how many: as in libCacheSim the
stack stands for at most two capacities, and the ghosts evicted longest ago go first.

The paper counts pages; with charges, LOW residents may take 99 % of the capacity, HIGH ones whatever is left.
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
from cachesim.policies.parts.queues import Queues, empty_queues, enter, first, knows_members, leave, renew, share
from cachesim.requests import Requests
from cachesim.structures.lists import Links, empty_links, oldest, push, unlink

LOW, HIGH, GHOST = range(3)
HIGH_SHARE = 0.01  # of the capacity
STACK = -1  # the head of the stack
STACK_CAPACITIES = 2  # what the names in the stack may stand for


class State(NamedTuple):
    """What LIRS keeps in mind.

    Attributes:
        ledger: the residents.
        queues: LOW (in no particular order), HIGH and GHOST.
        stack: all LOW and GHOST objects and some HIGH ones, in order of their last requests.
        stacked: bool (n_keys,), which objects are in the stack.
        stacked_charge: int64 (1,), the sum of their charges.
    """

    ledger: Ledger
    queues: Queues
    stack: Links
    stacked: NDArray[np.bool_]
    stacked_charge: NDArray[np.int64]


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    high = share(limit, HIGH_SHARE)
    queues = empty_queues(n_keys, limit - high, high, limit)
    stacked = np.zeros(n_keys, np.bool_)
    return State(empty_ledger(n_keys, limit), queues, empty_links(n_keys, 1), stacked, np.zeros(1, np.int64))


@inner_kernel
def _stack(state: State, key: int) -> None:
    """Put `key`, which is in a queue, on top of the stack."""
    if state.stacked[key]:
        unlink(state.stack, key)
    else:
        state.stacked[key] = True
        state.stacked_charge[0] += state.queues.charge[key]
    push(state.stack, STACK, key)


@inner_kernel
def _unstack(state: State, key: int) -> None:
    """Take `key` out of the stack; a ghost is then forgotten."""
    unlink(state.stack, key)
    state.stacked[key] = False
    state.stacked_charge[0] -= state.queues.charge[key]
    if state.queues.place[key] == GHOST:
        leave(state.queues, key)


@inner_kernel
def _prune(state: State) -> None:
    """Take from the stack what is below its lowest LOW resident."""
    bottom = oldest(state.stack, STACK)
    while bottom >= 0 and state.queues.place[bottom] != LOW:
        _unstack(state, bottom)
        bottom = oldest(state.stack, STACK)


@inner_kernel
def _bound(state: State) -> None:
    """Forget the ghosts beyond what the stack may hold, those that were evicted first."""
    most = STACK_CAPACITIES * state.ledger.counts[LIMIT]
    while state.stacked_charge[0] > most and state.queues.used[GHOST] > 0:
        _unstack(state, first(state.queues, GHOST))


@inner_kernel
def _demote(state: State) -> None:
    """Make the lowest LOW resident of the stack the newest HIGH one, outside the stack."""
    key = oldest(state.stack, STACK)
    _unstack(state, key)
    leave(state.queues, key)
    enter(state.queues, HIGH, key, state.queues.charge[key])
    _prune(state)


@inner_kernel
def _has_room(state: State, charge: int) -> bool:
    """Return whether an object of this charge can be LOW as well as those that are."""
    return bool(state.queues.used[LOW] + charge <= state.queues.limit[LOW])


@inner_kernel
def _make_room(state: State, charge: int) -> bool:
    """Return whether an object of this charge may be LOW at all; those that must make room for it become HIGH."""
    if charge > state.queues.limit[LOW]:
        return False
    while not _has_room(state, charge):
        _demote(state)
    return True


@inner_kernel
def _evict(state: State) -> None:
    """Evict the oldest HIGH resident; it stays in the stack if it is there."""
    queues = state.queues
    if queues.used[HIGH] == 0:
        _demote(state)
    key = first(queues, HIGH)
    leave(queues, key)
    if state.stacked[key]:
        enter(queues, GHOST, key, queues.charge[key])
    book_eviction(state.ledger, key)


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key, queues = requests.key[i], state.queues
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if not hits(state.ledger, key):
        return False
    if queues.place[key] == HIGH:
        if state.stacked[key] and _make_room(state, queues.charge[key]):
            leave(queues, key)
            enter(queues, LOW, key, queues.charge[key])
        else:
            renew(queues, key)
    _stack(state, key)
    _prune(state)
    _bound(state)
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    if not admissible(state.ledger, requests, i):
        return False
    key, charge, queues = requests.key[i], requests.charge[i], state.queues
    remembered = queues.place[key] == GHOST
    if remembered:
        _unstack(state, key)
    low = _make_room(state, charge) if remembered else _has_room(state, charge)
    while is_full(state.ledger, charge):
        _evict(state)
    enter(queues, LOW if low else HIGH, key, charge)
    _stack(state, key)
    _prune(state)
    book_admission(state.ledger, requests, i)
    _bound(state)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    if state.stacked[key]:
        _unstack(state, key)
    leave(state.queues, key)
    _prune(state)
    book_removal(state.ledger, key)


knows = knows_members
replay, steps = kernels_with(globals())
