"""2Q: a first-in-first-out queue for newcomers, an LRU queue for what was requested again after leaving it.

Johnson, Shasha: 2Q, a low overhead high performance buffer management replacement algorithm. VLDB 1994.

The full version of the paper: newcomers (A1in) may take 25 % of the capacity, the names remembered after them (A1out)
stand for 50 %.
"""

from typing import NamedTuple

from cachesim.compiled import inner_kernel
from cachesim.policies.parts.ledger import (
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
from cachesim.policies.parts.queues import (
    Queues,
    empty_queues,
    enter,
    first,
    knows_members,
    leave,
    recall,
    remember,
    renew,
    share,
)
from cachesim.requests import Requests

NEWCOMERS, FREQUENT, GHOST = range(3)
NEWCOMERS_SHARE, GHOST_SHARE = 0.25, 0.5  # of the capacity


class State(NamedTuple):
    """The ledger, and the queues NEWCOMERS (A1in), FREQUENT (Am) and GHOST (A1out)."""

    ledger: Ledger
    queues: Queues


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    newcomers = share(limit, NEWCOMERS_SHARE)
    queues = empty_queues(n_keys, newcomers, limit - newcomers, share(limit, GHOST_SHARE))
    return State(empty_ledger(n_keys, limit), queues)


@inner_kernel
def _evict(state: State) -> None:
    """Evict a newcomer when they exceed their share, otherwise the least recently used of the frequent ones."""
    queues = state.queues
    crowded = queues.used[NEWCOMERS] > queues.limit[NEWCOMERS] or queues.used[FREQUENT] == 0
    key = first(queues, NEWCOMERS if crowded else FREQUENT)
    leave(queues, key)
    if crowded:
        remember(queues, GHOST, key, queues.charge[key])
    book_eviction(state.ledger, key)


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key = requests.key[i]
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if not hits(state.ledger, key):
        return False
    if state.queues.place[key] == FREQUENT:
        renew(state.queues, key)
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    remembered = recall(state.queues, GHOST, requests.key[i])
    if not admissible(state.ledger, requests, i):
        return False
    while is_full(state.ledger, requests.charge[i]):
        _evict(state)
    enter(state.queues, FREQUENT if remembered else NEWCOMERS, requests.key[i], requests.charge[i])
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    leave(state.queues, key)
    book_removal(state.ledger, key)


knows = knows_members
replay, steps = kernels_with(globals())
