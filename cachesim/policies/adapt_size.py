"""AdaptSize: LRU that admits large objects less often; how much less is tuned to the requests seen lately.

Berger, Sitaraman, Harchol-Balter: AdaptSize, orchestrating the hot object memory cache in a content delivery network.
NSDI 2017.

An object enters with probability exp(-(charge - smallest) / scale), where the paper has exp(-size / c): counted from
the smallest charge seen, a cache whose objects are charged alike is plain LRU. Until the first tuning all enter. After
4 requests a resident, at least 4,096, the scale becomes the power of 2 for which the paper's model (size_model.py) of
what was requested lately promises most hits. Known to it are the residents and, least recently requested forgotten
first, others whose charges sum to at most three capacities; counts of requests are halved at each tuning.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel
from cachesim.policies.parts.ledger import (
    EVICTIONS,
    LIMIT,
    REJECTIONS,
    RESIDENTS,
    Ledger,
    admissible,
    book_admission,
    book_eviction,
    book_removal,
    empty_ledger,
    hits,
    is_full,
    outlived,
)
from cachesim.policies.parts.loop import kernels_with
from cachesim.policies.parts.queues import (
    NOWHERE,
    Queues,
    empty_queues,
    enter,
    first,
    knows_members,
    leave,
    recall,
    remember,
    renew,
)
from cachesim.policies.parts.size_model import (
    EVERYTHING,
    Classes,
    admission_probability,
    best_scale,
    classify,
    clear,
    empty_classes,
)
from cachesim.requests import Requests
from cachesim.structures.random_numbers import RandomState, random_states, uniform

RESIDENT, SEEN = range(2)
HISTORY = 3  # capacities of objects that are known though not resident
REQUESTS_A_RESIDENT, LEAST_REQUESTS = 4, 4096  # between tunings
ONE_REQUEST = 16  # so that a count can be halved four times
SMALLEST, LARGEST, SINCE_TUNING = range(3)  # indices of State.numbers


class State(NamedTuple):
    """What is known of the residents and of other objects seen lately.

    Attributes:
        ledger: the ledger.
        queues: RESIDENT and SEEN, by time of the last request.
        requests: int64 (n_keys,), of each known object, in units of 1 / ONE_REQUEST, halved at each tuning.
        classes: room for the model.
        scale: float64 (1,), of the admission probability, in charge.
        numbers: int64 (3,), the smallest and the largest charge seen, and the number of requests since the last tuning.
        random: uint64 (1,), the state of the random numbers.
    """

    ledger: Ledger
    queues: Queues
    requests: NDArray[np.int64]
    classes: Classes
    scale: NDArray[np.float64]
    numbers: NDArray[np.int64]
    random: RandomState


def start(n_keys: int, limit: int, seed: int = 0) -> State:
    """Return an empty cache; the same seed admits the same objects."""
    return State(
        ledger=empty_ledger(n_keys, limit),
        queues=empty_queues(n_keys, limit, HISTORY * limit),
        requests=np.zeros(n_keys, np.int64),
        classes=empty_classes(),
        scale=np.full(1, EVERYTHING),
        numbers=np.array([limit + 1, 0, 0], np.int64),
        random=random_states(seed, 1),
    )


@inner_kernel
def _classify_queue(state: State, queue: int) -> None:
    """Tell the model of the objects in a queue, and halve their counts of requests."""
    key = first(state.queues, queue)
    while key >= 0:
        if state.requests[key] > 0:
            classify(state.classes, state.queues.charge[key], state.requests[key])
        state.requests[key] >>= 1
        key = state.queues.links.newer[key]


@inner_kernel
def _tune(state: State) -> None:
    """Find the scale that fits what was requested lately, once the cache has been full."""
    numbers, counts = state.numbers, state.ledger.counts
    numbers[SINCE_TUNING] = 0
    if counts[EVICTIONS] == 0 or numbers[SMALLEST] >= numbers[LARGEST]:
        return
    clear(state.classes)
    _classify_queue(state, RESIDENT)
    _classify_queue(state, SEEN)
    state.scale[0] = best_scale(state.classes, float(counts[LIMIT]), float(numbers[SMALLEST]))


@inner_kernel
def _observe(state: State, key: int, charge: int) -> None:
    """Count a request, whether it hits or not, of an object that would fit."""
    numbers = state.numbers
    numbers[SMALLEST] = min(numbers[SMALLEST], charge)
    numbers[LARGEST] = max(numbers[LARGEST], charge)
    if state.queues.place[key] == NOWHERE:
        remember(state.queues, SEEN, key, charge)
        state.requests[key] = 0
    else:
        renew(state.queues, key)
    state.requests[key] += ONE_REQUEST
    numbers[SINCE_TUNING] += 1
    if numbers[SINCE_TUNING] >= max(LEAST_REQUESTS, REQUESTS_A_RESIDENT * state.ledger.counts[RESIDENTS]):
        _tune(state)


@inner_kernel
def _is_welcome(state: State, charge: int) -> bool:
    """Draw whether an object of this charge may enter."""
    chance = admission_probability(float(charge), float(state.numbers[SMALLEST]), state.scale[0])
    return chance >= 1.0 or bool(uniform(state.random, 0) < chance)


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key, charge = requests.key[i], requests.charge[i]
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if charge == 0 and state.queues.place[key] != NOWHERE:
        charge = state.queues.charge[key]
    if 0 < charge <= state.ledger.counts[LIMIT]:
        _observe(state, key, charge)
    return bool(hits(state.ledger, key))


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter and is welcome; return whether it did."""
    if not admissible(state.ledger, requests, i):
        return False
    key, charge, queues = requests.key[i], requests.charge[i], state.queues
    if queues.place[key] == NOWHERE:  # nobody asked for it, or without saying its size
        _observe(state, key, charge)
    if not _is_welcome(state, charge):
        state.ledger.counts[REJECTIONS] += 1
        return False
    recall(queues, SEEN, key)
    while is_full(state.ledger, charge):
        victim = first(queues, RESIDENT)
        victim_charge = queues.charge[victim]
        leave(queues, victim)
        remember(queues, SEEN, victim, victim_charge)
        book_eviction(state.ledger, victim)
    enter(queues, RESIDENT, key, charge)
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    leave(state.queues, key)
    book_removal(state.ledger, key)


knows = knows_members
replay, steps = kernels_with(globals())
