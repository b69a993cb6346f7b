"""Belady's MIN: evict the object whose next request is farthest away. It knows the future: a bound, not a choice.

Belady: A study of replacement algorithms for a virtual-storage computer. IBM Systems Journal 5 (2), 1966.

With capacity in objects no policy that admits every miss hits more often; with capacity in bytes it is a yardstick, not
a bound. Among objects that are never requested again, the one requested longest ago goes first.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel
from cachesim.policies.parts.ledger import (
    NOW,
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
    """The ledger, the residents by next request (the farthest on top), and the future: see `start`."""

    ledger: Ledger
    farthest: Heap
    next_request: NDArray[np.int64]


def start(n_keys: int, limit: int, next_request: NDArray[np.int64]) -> State:
    """Return an empty cache before the requests that `next_request` (of `cachesim.oracle`) describes."""
    return State(empty_ledger(n_keys, limit), empty_heap(n_keys), next_request)


@inner_kernel
def following(state: State) -> int:
    """Return when the object of the current request comes next."""
    return int(state.next_request[state.ledger.counts[NOW]])


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key = requests.key[i]
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if not hits(state.ledger, key):
        return False
    put(state.farthest, key, -following(state))
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    if not admissible(state.ledger, requests, i):
        return False
    while is_full(state.ledger, requests.charge[i]):
        book_eviction(state.ledger, pop(state.farthest))
    put(state.farthest, requests.key[i], -following(state))
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    take(state.farthest, key)
    book_removal(state.ledger, key)


knows = knows_residents
replay, steps = kernels_with(globals())
