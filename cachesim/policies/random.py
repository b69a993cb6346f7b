"""Random replacement: evict any resident, each with the same probability.

Belady: A study of replacement algorithms for a virtual-storage computer. IBM Systems Journal 5 (2), 1966.
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
from cachesim.structures.random_numbers import RandomState, below, random_states
from cachesim.structures.slots import Slots, empty_slots, occupy, vacate


class State(NamedTuple):
    """The ledger, the residents in no particular order, and uint64 (1,): the state of the random numbers."""

    ledger: Ledger
    slots: Slots
    random: RandomState


def start(n_keys: int, limit: int, seed: int = 0) -> State:
    """Return an empty cache; the same seed draws the same victims."""
    return State(empty_ledger(n_keys, limit), empty_slots(n_keys), random_states(seed, 1))


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key = requests.key[i]
    if outlived(state.ledger, requests, i):
        remove(state, key)
    return bool(hits(state.ledger, key))


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    if not admissible(state.ledger, requests, i):
        return False
    while is_full(state.ledger, requests.charge[i]):
        victim = state.slots.key[below(state.random, 0, state.slots.size[0])]
        vacate(state.slots, victim)
        book_eviction(state.ledger, victim)
    occupy(state.slots, requests.key[i])
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    vacate(state.slots, key)
    book_removal(state.ledger, key)


knows = knows_residents
replay, steps = kernels_with(globals())
