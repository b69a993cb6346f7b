"""Belady's MIN: evict the object whose next request is farthest away. It knows the future: a bound, not a choice.

Belady: A study of replacement algorithms for a virtual-storage computer. IBM Systems Journal 5 (2), 1966.

With capacity in objects no policy that admits every miss hits more often; with capacity in bytes it is a yardstick, not
a bound. Among objects that are never requested again, the one requested longest ago goes first.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import kernel
from cachesim.heap import Heap, empty_heap, pop, put
from cachesim.oracle import NEVER
from cachesim.policies.ledger import NOW, Ledger, admissible, admit, empty_ledger, evict, hits, is_full


class State(NamedTuple):
    """The ledger, the residents by next request (the farthest on top), and the future: see `start`."""

    ledger: Ledger
    farthest: Heap
    next_request: NDArray[np.int64]


def start(n_keys: int, limit: int, next_request: NDArray[np.int64]) -> State:
    """Return an empty cache before the requests that `next_request` (of `cachesim.oracle`) describes."""
    return State(empty_ledger(n_keys, limit), empty_heap(n_keys), next_request)


@kernel
def access(state: State, key: int, charge: int) -> bool:
    """Serve one request, the next one of those that `start` was told of, and return whether it hit."""
    ledger, farthest = state.ledger, state.farthest
    resident = bool(hits(ledger, key))
    following = state.next_request[ledger.counts[NOW]]
    if following == NEVER:
        following -= ledger.counts[NOW]
    if resident:
        put(farthest, key, -following)
    elif admissible(ledger, charge):
        while is_full(ledger, charge):
            evict(ledger, pop(farthest))
        put(farthest, key, -following)
        admit(ledger, key, charge)
    return resident


@kernel
def replay(state: State, keys: NDArray[np.int64], charges: NDArray[np.int64], hit: NDArray[np.bool_]) -> None:
    """Serve requests in order; write to `hit` which ones hit."""
    for i in range(keys.size):
        hit[i] = access(state, keys[i], charges[i])
