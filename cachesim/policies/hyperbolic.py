"""Hyperbolic caching: of a random sample, evict the object with the fewest requests for its time in the cache.

Blankstein, Sen, Freedman: Hyperbolic caching, flexible caching for web applications. USENIX ATC 2017.

64 objects are drawn, with replacement, for each eviction; the count begins with the request that stored the object, and
time is counted in requests; sizes do not matter. All as in libCacheSim. Among equals the one drawn first goes.
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
from cachesim.structures.random_numbers import RandomState, next_bits, random_states
from cachesim.structures.slots import Slots, empty_slots, occupy, vacate

SAMPLE = 64  # objects; an even number, since two are drawn with 64 random bits


class State(NamedTuple):
    """What is known of the residents.

    Attributes:
        ledger: the ledger.
        slots: the residents in no particular order.
        frequency: int64 (n_keys,), requests of each since it was admitted, that one included.
        admitted: int64 (n_keys,), index of the request at which each was admitted.
        random: uint64 (1,), the state of the random numbers.
    """

    ledger: Ledger
    slots: Slots
    frequency: NDArray[np.int64]
    admitted: NDArray[np.int64]
    random: RandomState


def start(n_keys: int, limit: int, seed: int = 0) -> State:
    """Return an empty cache; the same seed draws the same samples."""
    frequency, admitted = np.zeros(n_keys, np.int64), np.zeros(n_keys, np.int64)
    return State(empty_ledger(n_keys, limit), empty_slots(n_keys), frequency, admitted, random_states(seed, 1))


@inner_kernel
def _is_colder(state: State, key: int, other: int) -> bool:
    """Return whether `key` had fewer requests for its time in the cache than `other`: n / t < m / u, undivided."""
    now = state.ledger.counts[NOW]
    mine = float(state.frequency[key]) * float(now - state.admitted[other])
    return bool(mine < float(state.frequency[other]) * float(now - state.admitted[key]))


@inner_kernel
def _drawn(state: State, half: int) -> int:
    """Return the resident that 32 random bits point at."""
    return int(state.slots.key[np.int64((half * np.uint64(state.slots.size[0])) >> np.uint64(32))])


@inner_kernel
def _victim(state: State) -> int:
    coldest = -1
    for _ in range(SAMPLE // 2):
        bits = next_bits(state.random, 0)
        for half in (bits >> np.uint64(32), bits & np.uint64(0xFFFFFFFF)):
            key = _drawn(state, half)
            if coldest < 0 or _is_colder(state, key, coldest):
                coldest = key
    return coldest


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key = requests.key[i]
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if not hits(state.ledger, key):
        return False
    state.frequency[key] += 1
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    if not admissible(state.ledger, requests, i):
        return False
    while is_full(state.ledger, requests.charge[i]):
        victim = _victim(state)
        vacate(state.slots, victim)
        book_eviction(state.ledger, victim)
    key = requests.key[i]
    occupy(state.slots, key)
    state.frequency[key], state.admitted[key] = 1, state.ledger.counts[NOW]
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    vacate(state.slots, key)
    book_removal(state.ledger, key)


knows = knows_residents
replay, steps = kernels_with(globals())
