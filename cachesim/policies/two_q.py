"""2Q: a first-in-first-out queue for newcomers, an LRU queue for what was requested again after leaving it.

Johnson, Shasha: 2Q, a low overhead high performance buffer management replacement algorithm. VLDB 1994.

The full version of the paper: newcomers (A1in) may take 25 % of the capacity, the names remembered after them (A1out)
stand for 50 %.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import kernel
from cachesim.policies.ledger import Ledger, admissible, admit, empty_ledger, evict, hits, is_full
from cachesim.policies.queues import Queues, empty_queues, enter, first, leave, recall, remember, renew, share

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


@kernel
def _evict(state: State) -> None:
    """Evict a newcomer when they exceed their share, otherwise the least recently used of the frequent ones."""
    queues = state.queues
    crowded = queues.used[NEWCOMERS] > queues.limit[NEWCOMERS] or queues.used[FREQUENT] == 0
    key = first(queues, NEWCOMERS if crowded else FREQUENT)
    leave(queues, key)
    if crowded:
        remember(queues, GHOST, key, queues.charge[key])
    evict(state.ledger, key)


@kernel
def access(state: State, key: int, charge: int) -> bool:
    """Serve one request and return whether it hit."""
    queues = state.queues
    if hits(state.ledger, key):
        if queues.place[key] == FREQUENT:
            renew(queues, key)
        return True
    remembered = recall(queues, GHOST, key)
    if admissible(state.ledger, charge):
        while is_full(state.ledger, charge):
            _evict(state)
        enter(queues, FREQUENT if remembered else NEWCOMERS, key, charge)
        admit(state.ledger, key, charge)
    return False


@kernel
def replay(state: State, keys: NDArray[np.int64], charges: NDArray[np.int64], hit: NDArray[np.bool_]) -> None:
    """Serve requests in order; write to `hit` which ones hit."""
    for i in range(keys.size):
        hit[i] = access(state, keys[i], charges[i])
