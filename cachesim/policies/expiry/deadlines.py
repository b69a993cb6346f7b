"""What the two time-to-live policies share: residents in order of expiry, and copies that leave once they expire."""

from typing import NamedTuple

import numpy as np

from cachesim.compiled import inner_kernel
from cachesim.policies.parts.ledger import (
    EXPIRIES,
    Ledger,
    admissible,
    book_admission,
    book_eviction,
    book_removal,
    empty_ledger,
    is_full,
    knows_residents,
)
from cachesim.requests import Requests
from cachesim.structures.heap import Heap, empty_heap, put, take, top


class State(NamedTuple):
    """The ledger, and the residents by the time in seconds when they expire."""

    ledger: Ledger
    expiry: Heap


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    return State(empty_ledger(n_keys, limit), empty_heap(n_keys, np.float64))


@inner_kernel
def expire_until(state: State, time_s: float) -> None:
    """Remove the copies that have expired at `time_s`."""
    while state.expiry.size[0] > 0 and state.expiry.priority[top(state.expiry)] <= time_s:
        state.ledger.counts[EXPIRIES] += 1
        remove(state, top(state.expiry))


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    if not admissible(state.ledger, requests, i):
        return False
    while is_full(state.ledger, requests.charge[i]):
        victim = top(state.expiry)
        take(state.expiry, victim)
        book_eviction(state.ledger, victim)
    put(state.expiry, requests.key[i], requests.time_s[i] + requests.lifetime_s[i])
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    take(state.expiry, key)
    book_removal(state.ledger, key)


knows = knows_residents
