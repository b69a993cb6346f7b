"""FIFO: evict the object that was admitted longest ago.

Belady: A study of replacement algorithms for a virtual-storage computer. IBM Systems Journal 5 (2), 1966.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import kernel
from cachesim.lists import Links, empty_links, oldest, push, unlink
from cachesim.policies.ledger import Ledger, admissible, admit, empty_ledger, evict, hits, is_full


class State(NamedTuple):
    """The ledger, and the residents in order of admission."""

    ledger: Ledger
    arrival: Links


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    return State(empty_ledger(n_keys, limit), empty_links(n_keys, 1))


@kernel
def access(state: State, key: int, charge: int) -> bool:
    """Serve one request and return whether it hit."""
    if hits(state.ledger, key):
        return True
    if admissible(state.ledger, charge):
        head = state.ledger.charge.size
        while is_full(state.ledger, charge):
            victim = oldest(state.arrival, head)
            unlink(state.arrival, victim)
            evict(state.ledger, victim)
        push(state.arrival, head, key)
        admit(state.ledger, key, charge)
    return False


@kernel
def replay(state: State, keys: NDArray[np.int64], charges: NDArray[np.int64], hit: NDArray[np.bool_]) -> None:
    """Serve requests in order; write to `hit` which ones hit."""
    for i in range(keys.size):
        hit[i] = access(state, keys[i], charges[i])
