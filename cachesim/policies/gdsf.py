"""GDSF: evict the object with the smallest product of requests and load time for its size, aged by what was evicted.

Cherkasova: Improving WWW proxies performance with greedy-dual-size-frequency caching policy. HP Labs HPL-98-69, 1998.
Cao, Irani: Cost-aware WWW proxy caching algorithms. USENIX Symposium on Internet Technologies and Systems, 1997.

An object's priority is L + count x cost / charge, set at each of its requests. The count begins with the request that
stored it; the cost is its latest known load time in milliseconds, or the mean of those known at misses so far, or 1
when there is none; L is the priority of what was evicted last. Among equals the least recently used goes. As in
libCacheSim, a newcomer competes as well: one that is worth less than those who should make room for it is refused, and
L rises to its priority; what was evicted before it stays evicted.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel
from cachesim.policies.parts.ledger import (
    REJECTIONS,
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

AGE, KNOWN_SUM_MS, KNOWN = range(3)  # indices of State.numbers


class State(NamedTuple):
    """What is known of the residents.

    Attributes:
        ledger: the ledger.
        ranking: the residents by priority.
        frequency: int64 (n_keys,), requests of each since it was admitted, that one included.
        cost: float64 (n_keys,), what each costs to load.
        numbers: float64 (3,), L, and the sum and the number of the load times known at misses.
    """

    ledger: Ledger
    ranking: Heap
    frequency: NDArray[np.int64]
    cost: NDArray[np.float64]
    numbers: NDArray[np.float64]


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    frequency, cost = np.zeros(n_keys, np.int64), np.zeros(n_keys)
    return State(empty_ledger(n_keys, limit), empty_heap(n_keys, np.float64), frequency, cost, np.zeros(3))


@inner_kernel
def _cost_of_miss(state: State, load_time_ms: float) -> float:
    """Return the cost of what was loaded just now, and learn from it what loading costs on average."""
    numbers = state.numbers
    if load_time_ms >= 0:  # not NaN
        numbers[KNOWN_SUM_MS] += load_time_ms
        numbers[KNOWN] += 1
        return float(load_time_ms)
    return float(numbers[KNOWN_SUM_MS] / numbers[KNOWN]) if numbers[KNOWN] > 0 else 1.0


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key, load_time_ms = requests.key[i], requests.load_time_ms[i]
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if not hits(state.ledger, key):
        return False
    state.frequency[key] += 1
    if load_time_ms >= 0:  # not NaN
        state.cost[key] = load_time_ms
    worth = state.frequency[key] * state.cost[key] / state.ledger.charge[key]
    put(state.ranking, key, state.numbers[AGE] + worth)
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter and is worth more than who leaves for it; return whether it did."""
    cost = _cost_of_miss(state, requests.load_time_ms[i])
    if not admissible(state.ledger, requests, i):
        return False
    key, charge = requests.key[i], requests.charge[i]
    priority = state.numbers[AGE] + cost / charge
    while is_full(state.ledger, charge):
        victim = top(state.ranking)
        if priority < state.ranking.priority[victim]:
            state.numbers[AGE] = priority
            state.ledger.counts[REJECTIONS] += 1
            return False
        state.numbers[AGE] = state.ranking.priority[victim]
        take(state.ranking, victim)
        book_eviction(state.ledger, victim)
    state.frequency[key], state.cost[key] = 1, cost
    put(state.ranking, key, priority)
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    take(state.ranking, key)
    book_removal(state.ledger, key)


knows = knows_residents
replay, steps = kernels_with(globals())
