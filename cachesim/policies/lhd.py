"""LHD: evict the object of the least hit density, the hits to expect for the room that it will take until it leaves.

Beckmann, Chen, Cidon: LHD, improving cache hit rate by maximizing hit density. NSDI 2018.

Hits and evictions are counted by age, in classes of objects whose last two ages at a hit were alike; from the counts
the hit density at each age is computed anew from time to time. A victim is the least dense of some residents drawn at
random and of those admitted lately that looked poor. A few objects, the explorers, are spared while LHD learns.

Parameters and the densities to start with are those of the authors' simulator and of libCacheSim, but the densities are
updated every 2^16 requests, not every 2^20: until the first update LHD evicts what is large and, in steps of 1024
requests, old (docs/decisions/0006).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel, kernel
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
    outlived,
    residents,
)
from cachesim.policies.parts.loop import kernels_with
from cachesim.requests import Requests
from cachesim.structures.random_numbers import RandomState, below, random_states
from cachesim.structures.slots import Slots, empty_slots, occupy, vacate

CLASSES, AGES = 16, 20_000
OVERFLOW = AGES - 1  # the age of all that are older than the tables
FIRST_WEIGHT = 17  # the density of class c starts as (FIRST_WEIGHT + c) / (1 + age)
DECAY = 0.9  # of the counts at each update, and of the average density of victims
UPDATE_PERIOD = 1 << 16  # requests from one update of the densities to the next
FIRST_SHIFT = 10  # ages start as requests >> 10
AGES_PER_OBJECT = 200  # ages are coarsened until (residents / 200) ages of one request are one age
COARSENED_AT = (5, 25)  # after how many updates
LEARNING_UPDATES = 50  # while it learns, LHD draws fewer candidates and spares explorers
CANDIDATES, LEARNING_CANDIDATES, RECENT = 32, 8, 8
EXPLORERS = 32  # one of so many becomes an explorer
EXPLORER_SHARE = 0.01  # of the capacity

# Indices of State.clock.
PERIOD, REQUESTS, UPDATES, SHIFT, RECENT_AT, BUDGET = range(6)
# Indices of State.average.
VICTIM_DENSITY, OBJECTS, OBJECTS_MASS = range(3)
# First index of State.table.
HITS, EVICTED, DENSITY = range(3)


class State(NamedTuple):
    """What LHD keeps in mind.

    Attributes:
        ledger: the residents.
        slots: the residents, to draw from.
        random: the state of one generator.
        hit_class, hit_age: int8, int32 (n_keys,), each resident's class, and its age at its last hit.
        explorer: bool (n_keys,), which residents are spared.
        table: float64 (3, CLASSES, AGES), decayed counts of hits and of evictions, and the hit densities.
        recent: int64 (RECENT,), the last objects admitted that looked poor, or -1.
        clock: int64 (6,): requests between updates, requests served since the last one, number of updates, by how many
            bits ages are coarsened, where the next object of `recent` goes, what charge explorers may still take.
        average: float64 (3,): the density of victims; sum and mass of the number of residents at each update.
    """

    ledger: Ledger
    slots: Slots
    random: RandomState
    hit_class: NDArray[np.int8]
    hit_age: NDArray[np.int32]
    explorer: NDArray[np.bool_]
    table: NDArray[np.float64]
    recent: NDArray[np.int64]
    clock: NDArray[np.int64]
    average: NDArray[np.float64]


def start(n_keys: int, limit: int, seed: int = 0, update_period: int = UPDATE_PERIOD) -> State:
    """Return an empty cache that computes its densities every `update_period` requests, >= 1."""
    table = np.zeros((3, CLASSES, AGES))
    table[DENSITY] = np.arange(FIRST_WEIGHT, FIRST_WEIGHT + CLASSES)[:, None] / np.arange(1, AGES + 1)
    return State(
        ledger=empty_ledger(n_keys, limit),
        slots=empty_slots(n_keys),
        random=random_states(seed, 1),
        hit_class=np.zeros(n_keys, np.int8),
        hit_age=np.zeros(n_keys, np.int32),
        explorer=np.zeros(n_keys, np.bool_),
        table=table,
        recent=np.full(RECENT, -1, np.int64),
        clock=np.array([update_period, 0, 0, FIRST_SHIFT, 0, int(limit * EXPLORER_SHARE)], np.int64),
        average=np.zeros(3),
    )


@inner_kernel
def _age(state: State, key: int) -> int:
    """Return the coarse time since the last request of the resident `key`."""
    requests = state.ledger.counts[NOW] - state.ledger.last_request[key]
    return int(min(requests >> state.clock[SHIFT], OVERFLOW))


@kernel
def _class_of(age: int) -> int:
    """Return the class of a sum of two ages: 15 for 0 and 1, one less with each doubling, 0 for AGES and more."""
    doublings = 0
    while age < AGES and doublings < CLASSES - 1:
        age <<= 1
        doublings += 1
    return doublings


@inner_kernel
def _density(state: State, key: int, age: int, charge: int) -> float:
    """Return the hit density of `key` at an age, or -1 when it is older than the tables."""
    if age == OVERFLOW:
        return -1.0
    return float(state.table[DENSITY, state.hit_class[key], age] / charge + state.explorer[key])


@inner_kernel
def _candidate(state: State, n: int, draws: int) -> int:
    """Return the n-th candidate for eviction, or -1: residents at random, then those of `recent` still here."""
    if n < draws:
        return int(state.slots.key[below(state.random, 0, state.slots.size[0])])
    key = int(state.recent[n - draws])
    return key if key >= 0 and state.ledger.charge[key] > 0 else -1


@inner_kernel
def _victim(state: State) -> int:
    """Return the least dense candidate; of several, which are common since ages are coarse, the first."""
    draws = CANDIDATES if state.clock[UPDATES] > LEARNING_UPDATES else LEARNING_CANDIDATES
    victim, least = -1, np.inf
    for n in range(draws + RECENT):
        key = _candidate(state, n, draws)
        if key < 0:
            continue
        density = _density(state, key, _age(state, key), state.ledger.charge[key])
        if density < least:
            victim, least = key, density
    state.average[VICTIM_DENSITY] = DECAY * state.average[VICTIM_DENSITY] + (1 - DECAY) * max(least, 0.0)
    return victim


@inner_kernel
def _dismiss(state: State, key: int) -> None:
    """Take `key` out of the draw, and explore with another instead if it was an explorer."""
    vacate(state.slots, key)
    state.clock[BUDGET] += state.explorer[key] * state.ledger.charge[key]


@inner_kernel
def _evict(state: State) -> None:
    """Evict one object and count it at its age."""
    key = _victim(state)
    state.table[EVICTED, state.hit_class[key], _age(state, key)] += 1
    _dismiss(state, key)
    book_eviction(state.ledger, key)


@inner_kernel
def _explore(state: State, key: int, charge: int) -> bool:
    """Return whether `key`, which is requested now, was drawn to be an explorer; there must be budget for it."""
    drawn = below(state.random, 0, EXPLORERS) == 0
    chosen = drawn and state.clock[BUDGET] > 0 and state.clock[UPDATES] < LEARNING_UPDATES
    state.explorer[key] = chosen
    state.clock[BUDGET] -= chosen * charge
    return bool(drawn)


@inner_kernel
def _learn(state: State) -> None:
    """Count one request; when it is time, decay the counts, adapt the ages and compute the densities anew."""
    clock = state.clock
    clock[REQUESTS] += 1
    if clock[REQUESTS] < clock[PERIOD]:
        return
    clock[REQUESTS] = 0
    _decay(state)
    _follow_size(state)
    _compute_densities(state)
    clock[UPDATES] += 1


@inner_kernel
def _decay(state: State) -> None:
    """Let what was counted before weigh less."""
    for event in range(DENSITY):
        for c in range(CLASSES):
            for age in range(AGES):
                state.table[event, c, age] *= DECAY


@inner_kernel
def _follow_size(state: State) -> None:
    """Average the number of residents, and after some updates coarsen ages as suits it."""
    average, clock = state.average, state.clock
    average[OBJECTS] = DECAY * average[OBJECTS] + state.slots.size[0]
    average[OBJECTS_MASS] = DECAY * average[OBJECTS_MASS] + 1
    if clock[UPDATES] != COARSENED_AT[0] and clock[UPDATES] != COARSENED_AT[1]:
        return
    shift = 1
    while (1 << shift) < average[OBJECTS] / average[OBJECTS_MASS] / AGES_PER_OBJECT:
        shift += 1
    average[OBJECTS] *= 8  # the next change then takes longer
    average[OBJECTS_MASS] *= 8
    for event in range(DENSITY):
        for c in range(CLASSES):
            if shift > clock[SHIFT]:
                _coarsen(state.table[event, c], shift - clock[SHIFT])
            else:
                _refine(state.table[event, c], clock[SHIFT] - shift)
    clock[SHIFT] = shift


@kernel
def _coarsen(counts: NDArray[np.float64], bits: int) -> None:
    """Sum the counts of 2^bits ages each."""
    for age in range(1, OVERFLOW):
        count = counts[age]
        counts[age] = 0
        counts[age >> bits] += count


@kernel
def _refine(counts: NDArray[np.float64], bits: int) -> None:
    """Spread each count evenly over 2^bits ages."""
    for age in range(AGES >> bits, OVERFLOW):
        if bits > 0:
            counts[OVERFLOW] += counts[age]
    for age in range(OVERFLOW - 1, -1, -1):
        counts[age] = counts[age >> bits] / (1 << bits)


@kernel
def _compute_densities(state: State) -> None:
    """Write the density at each age: hits to come, per requests that the objects which got so old will still stay."""
    for c in range(CLASSES):
        happened, evicted, density = state.table[HITS, c], state.table[EVICTED, c], state.table[DENSITY, c]
        total_hits = happened[OVERFLOW]
        events = total_hits + evicted[OVERFLOW]
        lifetime = events
        for age in range(OVERFLOW - 1, -1, -1):
            total_hits += happened[age]
            events += happened[age] + evicted[age]
            lifetime += events
            density[age] = total_hits / lifetime if events > 1e-5 else 0.0


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key = requests.key[i]
    if outlived(state.ledger, requests, i):
        remove(state, key)
    age = _age(state, key)
    if not hits(state.ledger, key):
        return False
    charge = state.ledger.charge[key]
    state.table[HITS, state.hit_class[key], age] += 1
    state.hit_class[key] = _class_of(age + state.hit_age[key])
    state.hit_age[key] = age
    state.clock[BUDGET] += state.explorer[key] * charge
    _explore(state, key, charge)
    _learn(state)
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    if not admissible(state.ledger, requests, i):
        return False
    key, charge = requests.key[i], requests.charge[i]
    while is_full(state.ledger, charge):
        _evict(state)
    book_admission(state.ledger, requests, i)
    occupy(state.slots, key)
    state.hit_class[key], state.hit_age[key] = 0, 0
    drawn = _explore(state, key, charge)
    if not drawn and _density(state, key, 0, charge) < state.average[VICTIM_DENSITY]:
        state.recent[state.clock[RECENT_AT]] = key
        state.clock[RECENT_AT] = (state.clock[RECENT_AT] + 1) % RECENT
    _learn(state)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    _dismiss(state, key)
    book_removal(state.ledger, key)


def knows(state: State, codes: slice) -> NDArray[np.bool_]:
    """Return which objects of a slice of codes the state says something about: residents and `recent`."""
    looked_poor = np.isin(np.arange(*codes.indices(state.ledger.charge.size)), state.recent)
    return residents(state.ledger, codes) | looked_poor


replay, steps = kernels_with(globals())
