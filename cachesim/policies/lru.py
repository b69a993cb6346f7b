"""LRU: evict the object whose last request is longest ago.

Mattson, Gecsei, Slutz, Traiger: Evaluation techniques for storage hierarchies. IBM Systems Journal 9 (2), 1970.
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
from cachesim.structures.lists import Links, empty_links, oldest, push, unlink

RECENCY = -1  # the head of the only list


class State(NamedTuple):
    """The ledger, and the residents in order of their last requests."""

    ledger: Ledger
    recency: Links


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    return State(empty_ledger(n_keys, limit), empty_links(n_keys, 1))


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key = requests.key[i]
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if not hits(state.ledger, key):
        return False
    unlink(state.recency, key)
    push(state.recency, RECENCY, key)
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    if not admissible(state.ledger, requests, i):
        return False
    while is_full(state.ledger, requests.charge[i]):
        victim = oldest(state.recency, RECENCY)
        unlink(state.recency, victim)
        book_eviction(state.ledger, victim)
    push(state.recency, RECENCY, requests.key[i])
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    unlink(state.recency, key)
    book_removal(state.ledger, key)


knows = knows_residents
replay, steps = kernels_with(globals())
