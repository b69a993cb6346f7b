"""CLOCK, or second chance: FIFO, but an object that was requested since its last turn goes round once more.

Corbató: A paging experiment with the Multics system. Project MAC report MAC-M-384, MIT, 1968.

One bit an object, as is the default in libCacheSim.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
from cachesim.structures.lists import Links, empty_links, oldest, push, unlink

TURNS = -1  # the head of the only list


class State(NamedTuple):
    """The ledger, the residents in the order of their turns, and bool (n_keys,): which were requested since."""

    ledger: Ledger
    turns: Links
    requested: NDArray[np.bool_]


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    return State(empty_ledger(n_keys, limit), empty_links(n_keys, 1), np.zeros(n_keys, np.bool_))


@inner_kernel
def _evict(state: State) -> None:
    """Evict the first object in turn that was not requested; those before it go round."""
    key = oldest(state.turns, TURNS)
    while state.requested[key]:
        state.requested[key] = False
        unlink(state.turns, key)
        push(state.turns, TURNS, key)
        key = oldest(state.turns, TURNS)
    unlink(state.turns, key)
    book_eviction(state.ledger, key)


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key = requests.key[i]
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if not hits(state.ledger, key):
        return False
    state.requested[key] = True
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    if not admissible(state.ledger, requests, i):
        return False
    while is_full(state.ledger, requests.charge[i]):
        _evict(state)
    push(state.turns, TURNS, requests.key[i])
    state.requested[requests.key[i]] = False
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    unlink(state.turns, key)
    book_removal(state.ledger, key)


knows = knows_residents
replay, steps = kernels_with(globals())
