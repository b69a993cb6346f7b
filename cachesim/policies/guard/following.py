"""How a cache follows one of several shadows: who holds what, what a switch would cost, and whom to evict.

Whoever books something in the cache's ledger says so here. None of these kernels takes the states of the shadows: a
call that hands them over is what compiling would spend its time on.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel, kernel
from cachesim.features.table import Float32Array
from cachesim.objective import Objective, value_of
from cachesim.policies.guard.race import LEADER, Race
from cachesim.policies.parts.ledger import Ledger
from cachesim.requests import Requests
from cachesim.structures.marked_set import MARKED, MEMBERS, Marked, discard, empty_marked, insert, mark, unmark
from cachesim.structures.random_numbers import RandomState, below, random_states
from schemas.trace import FloatArray, IntArray

SAMPLED = 16  # objects of which the oldest is evicted


class Following(NamedTuple):
    """What the cache and its shadows hold.

    Attributes:
        holders: uint8 (n_keys,), bit p says whether shadow p holds the object.
        value: float64 (n_keys,), what a hit on each object is worth that the cache or a shadow holds.
        size_bytes: int64 (n_keys,), of residents.
        load_time_ms: float32 (n_keys,), of residents; NaN where unknown.
        residents: of the cache; those that the leader's shadow does not hold are marked.
        race: which shadow leads.
        objective: what a hit is worth.
        random: uint64 (1,), state of the random numbers.
    """

    holders: NDArray[np.uint8]
    value: FloatArray
    size_bytes: IntArray
    load_time_ms: Float32Array
    residents: Marked
    race: Race
    objective: Objective
    random: RandomState


def begin_following(n_keys: int, race: Race, objective: Objective, seed: int) -> Following:
    """Return the following of an empty cache."""
    return Following(
        holders=np.zeros(n_keys, np.uint8),
        value=np.zeros(n_keys),
        size_bytes=np.zeros(n_keys, np.int64),
        load_time_ms=np.zeros(n_keys, np.float32),
        residents=empty_marked(n_keys),
        race=race,
        objective=objective,
        random=random_states(seed, 2)[1:].copy(),  # the first one is the network's
    )


@inner_kernel
def holds(following: Following, shadow: int, key: int) -> bool:
    """Return whether a shadow holds `key`."""
    return bool(following.holders[key] & (1 << shadow))


@inner_kernel
def leader_holds(following: Following, key: int) -> bool:
    """Return whether the leader's shadow holds `key`."""
    return bool(holds(following, following.race.counts[LEADER], key))


@inner_kernel
def note(following: Following, ledger: Ledger, shadow: int, shadow_ledger: Ledger, key: int) -> None:
    """Take over what the last call of a shadow's kernel did: objects may have gone, and `key` may have come.

    Args:
        following: of the cache.
        ledger: the cache's.
        shadow: number of the shadow.
        shadow_ledger: the shadow's, which notes who left.
        key: of the request.
    """
    race, leads = following.race, shadow == following.race.counts[LEADER]
    for j in range(shadow_ledger.left_size[0]):
        gone = shadow_ledger.left[j]
        following.holders[gone] &= ~(1 << shadow)
        if ledger.charge[gone] == 0:
            race.to_fetch[shadow] -= following.value[gone]
        elif leads:
            mark(following.residents, gone)
    shadow_ledger.left_size[0] = 0
    if shadow_ledger.charge[key] == 0 or holds(following, shadow, key):
        return
    following.holders[key] |= 1 << shadow
    if ledger.charge[key] == 0:
        race.to_fetch[shadow] += following.value[key]
    elif leads:
        unmark(following.residents, key)


@inner_kernel
def _change_to_fetch(following: Following, key: int, value: float) -> None:
    """Add `value`, that of `key` or a change of it, to what a switch to each shadow that holds `key` must fetch."""
    to_fetch = following.race.to_fetch
    for shadow in range(to_fetch.size):
        if holds(following, shadow, key):
            to_fetch[shadow] += value


@inner_kernel
def appraise(following: Following, ledger: Ledger, requests: Requests, i: int) -> None:
    """Set what a hit on the object of request i is worth; one that says no size leaves it as it is known."""
    key = requests.key[i]
    resident = ledger.charge[key] > 0
    if requests.size_bytes[i] == 0 and (resident or following.holders[key]):
        return
    value = value_of(following.objective, requests.load_time_ms[i], requests.size_bytes[i], requests.columns[i])
    if not resident:
        _change_to_fetch(following, key, value - following.value[key])
    following.value[key] = value


@inner_kernel
def store(following: Following, requests: Requests, i: int) -> None:
    """Take the object of request i, which the leader's shadow holds, into the cache."""
    key = requests.key[i]
    _change_to_fetch(following, key, -following.value[key])
    insert(following.residents, key)
    following.size_bytes[key], following.load_time_ms[key] = requests.size_bytes[i], requests.load_time_ms[i]


@inner_kernel
def withdraw(following: Following, key: int) -> None:
    """Take the resident `key` out of the cache, not out of the shadows."""
    _change_to_fetch(following, key, following.value[key])
    discard(following.residents, key)


@inner_kernel
def victim(following: Following, ledger: Ledger) -> int:
    """Return the oldest of a few residents that the leader does not hold; of all, when it holds them all.

    With a capacity in objects there is always one that it does not hold. In bytes the leader may have admitted its
    copies when they were smaller.
    """
    members, oldest = following.residents, -1
    n = members.size[MARKED] if members.size[MARKED] else members.size[MEMBERS]
    for j in range(min(n, SAMPLED)):
        key = members.key[j] if n <= SAMPLED else members.key[below(following.random, 0, n)]
        if oldest < 0 or ledger.last_request[key] < ledger.last_request[oldest]:
            oldest = key
    return oldest


@kernel
def turn(following: Following) -> None:
    """Follow another leader: mark the residents that its shadow does not hold, and no others."""
    members = following.residents
    members.size[MARKED] = 0
    for slot in range(members.size[MEMBERS]):
        key = members.key[slot]
        if not leader_holds(following, key):
            mark(members, key)  # changes places with one that was looked at already


@inner_kernel
def complete(following: Following, ledger: Ledger, requests: Requests, i: int, row: Requests) -> None:
    """Write request i, which the cache hit, to `row` as if it had fetched the stored copy."""
    key, unsaid = requests.key[i], requests.size_bytes[i] == 0
    row.key[0], row.name[0], row.time_s[0] = key, requests.name[i], requests.time_s[i]
    row.lifetime_s[0], row.endpoint[0] = requests.lifetime_s[i], requests.endpoint[i]
    row.charge[0] = ledger.charge[key] if unsaid else requests.charge[i]
    row.size_bytes[0] = following.size_bytes[key] if unsaid else requests.size_bytes[i]
    unknown = unsaid and np.isnan(requests.load_time_ms[i])
    row.load_time_ms[0] = following.load_time_ms[key] if unknown else requests.load_time_ms[i]
    for c in range(requests.columns.shape[1]):
        row.columns[0, c] = requests.columns[i, c]
