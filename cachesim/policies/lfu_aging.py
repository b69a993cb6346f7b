"""LFU with dynamic aging: evict the object with the smallest sum of its requests and the age when it last came.

Arlitt, Cherkasova, Dilley, Friedrich, Jin: Evaluating content management techniques for web proxy caches. ACM
SIGMETRICS Performance Evaluation Review 27 (4), 2000.

The age of the cache is the priority of the last victim. So newcomers come in level with what was evicted last, and what
was popular once is overtaken. Only requests since the admission count. Among equals, the one requested longest ago
goes.
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
from cachesim.structures.heap import Heap, empty_heap, put, take, top


class State(NamedTuple):
    """The ledger, and what LFU with aging knows.

    Attributes:
        ledger: who is resident.
        worth: the residents by priority: their requests plus the age of the cache at the last of these.
        frequency: int64 (n_keys,), requests of each resident since its admission.
        age: int64 (1,), priority of the last victim; 0 before the first.
    """

    ledger: Ledger
    worth: Heap
    frequency: NDArray[np.int64]
    age: NDArray[np.int64]


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    return State(
        ledger=empty_ledger(n_keys, limit),
        worth=empty_heap(n_keys),
        frequency=np.zeros(n_keys, np.int64),
        age=np.zeros(1, np.int64),
    )


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key = requests.key[i]
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if not hits(state.ledger, key):
        return False
    state.frequency[key] += 1
    put(state.worth, key, state.frequency[key] + state.age[0])
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    if not admissible(state.ledger, requests, i):
        return False
    while is_full(state.ledger, requests.charge[i]):
        victim = top(state.worth)
        state.age[0] = state.worth.priority[victim]
        take(state.worth, victim)
        book_eviction(state.ledger, victim)
    state.frequency[requests.key[i]] = 1
    put(state.worth, requests.key[i], 1 + state.age[0])
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    take(state.worth, key)
    book_removal(state.ledger, key)


knows = knows_residents
replay, steps = kernels_with(globals())
