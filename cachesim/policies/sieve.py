"""SIEVE: a hand goes from the oldest object to the newest and evicts the first that was not requested since it passed.

Zhang, Yang, Yue, Vigfusson, Rashmi: SIEVE is simpler than LRU, an efficient turn-key eviction algorithm for web caches.
NSDI 2024.

Unlike in CLOCK, what is spared keeps its place, so that newcomers are judged soon.
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
from cachesim.structures.lists import Links, empty_links, push, unlink

ARRIVAL = -1  # the head of the only list; the next after it is the oldest object


class State(NamedTuple):
    """The ledger, and what SIEVE knows.

    Attributes:
        ledger: who is resident.
        arrival: the residents in order of admission.
        requested: bool (n_keys,), which were requested since they came or the hand passed.
        hand: int32 (1,), the object to judge next, or ARRIVAL to begin with the oldest.
    """

    ledger: Ledger
    arrival: Links
    requested: NDArray[np.bool_]
    hand: NDArray[np.int32]


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    return State(
        ledger=empty_ledger(n_keys, limit),
        arrival=empty_links(n_keys, 1),
        requested=np.zeros(n_keys, np.bool_),
        hand=np.full(1, ARRIVAL, np.int32),
    )


@inner_kernel
def _evict(state: State) -> None:
    """Evict the first object from the hand on that was not requested, and leave the hand behind it."""
    key = state.hand[0]
    while key == ARRIVAL or state.requested[key]:
        if key != ARRIVAL:
            state.requested[key] = False
        key = state.arrival.newer[key]
    state.hand[0] = state.arrival.newer[key]
    unlink(state.arrival, key)
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
    push(state.arrival, ARRIVAL, requests.key[i])
    state.requested[requests.key[i]] = False
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out; a hand that points to it moves on."""
    if state.hand[0] == key:
        state.hand[0] = state.arrival.newer[key]
    unlink(state.arrival, key)
    book_removal(state.ledger, key)


knows = knows_residents
replay, steps = kernels_with(globals())
