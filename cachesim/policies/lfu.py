"""LFU: evict the object with the fewest requests since it was admitted; among equals, the one requested longest ago.

The in-cache kind, which forgets the count of what it evicts. Coffman, Denning: Operating Systems Theory. 1973.
Ties are broken as in libCacheSim.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import kernel
from cachesim.heap import Heap, empty_heap, pop, put
from cachesim.policies.ledger import NOW, Ledger, admissible, admit, empty_ledger, evict, hits, is_full

ONE_REQUEST = 1 << 40  # a priority holds the count in its high bits, the index of the last request in its low ones


class State(NamedTuple):
    """The ledger, and the residents by number and time of their requests."""

    ledger: Ledger
    frequency: Heap


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    return State(empty_ledger(n_keys, limit), empty_heap(n_keys))


@kernel
def access(state: State, key: int, charge: int) -> bool:
    """Serve one request and return whether it hit."""
    ledger, frequency = state.ledger, state.frequency
    if hits(ledger, key):
        earlier = frequency.priority[key] // ONE_REQUEST
        put(frequency, key, (earlier + 1) * ONE_REQUEST + ledger.counts[NOW])
        return True
    if admissible(ledger, charge):
        while is_full(ledger, charge):
            evict(ledger, pop(frequency))
        put(frequency, key, ONE_REQUEST + ledger.counts[NOW])
        admit(ledger, key, charge)
    return False


@kernel
def replay(state: State, keys: NDArray[np.int64], charges: NDArray[np.int64], hit: NDArray[np.bool_]) -> None:
    """Serve requests in order; write to `hit` which ones hit."""
    for i in range(keys.size):
        hit[i] = access(state, keys[i], charges[i])
