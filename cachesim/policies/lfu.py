"""LFU: evict the object with the fewest requests since it was admitted; among equals, the one requested longest ago.

The in-cache kind, which forgets the count of what it evicts. Coffman, Denning: Operating Systems Theory. 1973.
Ties are broken as in libCacheSim.
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
    knows_residents,
    outlived,
)
from cachesim.policies.parts.loop import kernels_with
from cachesim.requests import Requests
from cachesim.structures.heap import Heap, empty_heap, pop, put, take


class State(NamedTuple):
    """The ledger, and the residents by number of requests."""

    ledger: Ledger
    frequency: Heap


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    return State(empty_ledger(n_keys, limit), empty_heap(n_keys))


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key = requests.key[i]
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if not hits(state.ledger, key):
        return False
    put(state.frequency, key, state.frequency.priority[key] + 1)
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    if not admissible(state.ledger, requests, i):
        return False
    while is_full(state.ledger, requests.charge[i]):
        book_eviction(state.ledger, pop(state.frequency))
    put(state.frequency, requests.key[i], 1)
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    take(state.frequency, key)
    book_removal(state.ledger, key)


knows = knows_residents
replay, steps = kernels_with(globals())
