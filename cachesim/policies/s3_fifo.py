"""S3-FIFO: a small queue lets only what is requested again into the main queue; a ghost queue corrects its mistakes.

Yang, Zhang, Qiu, Yue, Rashmi: FIFO queues are all you need for cache eviction. SOSP 2023.

The small queue has 10 % of the capacity, the ghost queue names for 90 %; an object moves from small to main after two
hits, and circulates in main as long as its count, at most 3, is above 0. As in libCacheSim, what comes after the small
queue is full and before the first eviction goes to main. Unlike there, an object as large as the small queue is
admitted, so that caches of less than 20 objects work.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel
from cachesim.policies.parts.ledger import (
    EVICTIONS,
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

SMALL, MAIN, GHOST = range(3)
SMALL_SHARE, GHOST_SHARE = 0.1, 0.9  # of the capacity
PROMOTION_HITS, MOST_HITS = 2, 3


class State(NamedTuple):
    """The ledger, the queues SMALL, MAIN and GHOST, and int8 (n_keys,): each resident's count of hits, at most 3."""

    ledger: Ledger
    queues: Queues
    hits: NDArray[np.int8]


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    small = share(limit, SMALL_SHARE)
    queues = empty_queues(n_keys, small, limit - small, share(limit, GHOST_SHARE))
    return State(empty_ledger(n_keys, limit), queues, np.zeros(n_keys, np.int8))


@inner_kernel
def _evict_from_small(state: State) -> None:
    """Evict the oldest object of the small queue that was hardly requested again; the others go to main."""
    queues = state.queues
    while queues.used[SMALL] > 0:
        key = first(queues, SMALL)
        charge = queues.charge[key]
        leave(queues, key)
        if state.hits[key] < PROMOTION_HITS:
            remember(queues, GHOST, key, charge)
            book_eviction(state.ledger, key)
            return
        state.hits[key] = 0
        enter(queues, MAIN, key, charge)


@inner_kernel
def _evict_from_main(state: State) -> None:
    """Evict the oldest object of the main queue without hits; the others go round with one hit less."""
    key = first(state.queues, MAIN)
    while state.hits[key] > 0:
        state.hits[key] -= 1
        renew(state.queues, key)
        key = first(state.queues, MAIN)
    leave(state.queues, key)
    book_eviction(state.ledger, key)


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key = requests.key[i]
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if not hits(state.ledger, key):
        return False
    state.hits[key] = min(state.hits[key] + 1, MOST_HITS)
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    remembered = recall(state.queues, GHOST, requests.key[i])
    if not admissible(state.ledger, requests, i):
        return False
    key, charge, queues = requests.key[i], requests.charge[i], state.queues
    while is_full(state.ledger, charge):
        if queues.used[MAIN] > queues.limit[MAIN] or queues.used[SMALL] == 0:
            _evict_from_main(state)
        else:
            _evict_from_small(state)
    filling = state.ledger.counts[EVICTIONS] == 0 and queues.used[SMALL] >= queues.limit[SMALL]
    enter(queues, MAIN if remembered or filling else SMALL, key, charge)
    state.hits[key] = 0
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    leave(state.queues, key)
    book_removal(state.ledger, key)


knows = knows_members
replay, steps = kernels_with(globals())
