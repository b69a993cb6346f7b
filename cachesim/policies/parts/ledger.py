"""The bookkeeping that every policy shares: who is resident, for how much, until when, and the counts."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel
from cachesim.requests import Requests

# Indices of Ledger.counts.
LIMIT, USED, RESIDENTS, NOW, ADMISSIONS, EVICTIONS, REJECTIONS, EXPIRIES, REMOVALS, EVICTION_AGE_SUM, MORTAL = range(11)


class Ledger(NamedTuple):
    """What the cache holds and has done.

    Attributes:
        charge: int64 (n_keys,), what each resident is charged; 0 for an object that is not resident.
        last_request: int64 (n_keys,), index of the last request of each resident.
        expires_s: float64 (n_keys,), when each resident's copy expires; meaningful when `counts[MORTAL]` is 1.
        left: int64 (n_keys,) or (0,), the objects that left since `left_size` was last set to 0; (0,) = not noted.
        left_size: int64 (1,).
        counts: int64 (11,): limit and sum of charges, residents, index of the current request (-1 before the first),
            admissions, evictions, rejections, expiries, other removals, the sum over evictions of requests since the
            object's last one, and whether any copy was admitted that expires.
    """

    charge: NDArray[np.int64]
    last_request: NDArray[np.int64]
    expires_s: NDArray[np.float64]
    left: NDArray[np.int64]
    left_size: NDArray[np.int64]
    counts: NDArray[np.int64]


def empty_ledger(n_keys: int, limit: int) -> Ledger:
    """Return the ledger of an empty cache; charges may sum to `limit`."""
    counts = np.zeros(11, np.int64)
    counts[LIMIT], counts[NOW] = limit, -1
    return Ledger(
        charge=np.zeros(n_keys, np.int64),
        last_request=np.zeros(n_keys, np.int64),
        expires_s=np.full(n_keys, np.inf),
        left=np.zeros(0, np.int64),
        left_size=np.zeros(1, np.int64),
        counts=counts,
    )


def residents(ledger: Ledger, codes: slice) -> NDArray[np.bool_]:
    """Return which objects of a slice of codes are resident."""
    return ledger.charge[codes] > 0


def knows_residents(state: Any, codes: slice) -> NDArray[np.bool_]:
    """Return which objects of a slice of codes a state says something about, where these are the residents alone."""
    return residents(state.ledger, codes)


@inner_kernel
def outlived(ledger: Ledger, requests: Requests, i: int) -> bool:
    """Count request i, and return whether it finds a copy that has expired: the policy must remove it."""
    ledger.counts[NOW] += 1
    if ledger.counts[MORTAL] == 0:
        return False
    key = requests.key[i]
    if ledger.charge[key] == 0 or requests.time_s[i] < ledger.expires_s[key]:
        return False
    ledger.counts[EXPIRIES] += 1
    return True


@inner_kernel
def hits(ledger: Ledger, key: int) -> bool:
    """Return whether `key` is resident, and note that it is requested now."""
    if ledger.charge[key] == 0:
        return False
    ledger.last_request[key] = ledger.counts[NOW]
    return True


@inner_kernel
def admissible(ledger: Ledger, requests: Requests, i: int) -> bool:
    """Return whether what request i fetched may enter at all, and count a rejection if not."""
    if requests.charge[i] <= ledger.counts[LIMIT] and requests.lifetime_s[i] > 0:
        return True
    ledger.counts[REJECTIONS] += 1
    return False


@inner_kernel
def is_full(ledger: Ledger, charge: int) -> bool:
    """Return whether an object of this charge does not fit without an eviction."""
    return bool(ledger.counts[USED] + charge > ledger.counts[LIMIT])


@inner_kernel
def book_admission(ledger: Ledger, requests: Requests, i: int) -> None:
    """Make the object of request i a resident; there must be room."""
    key, charge, lifetime_s = requests.key[i], requests.charge[i], requests.lifetime_s[i]
    ledger.charge[key] = charge
    ledger.last_request[key] = ledger.counts[NOW]
    ledger.counts[USED] += charge
    ledger.counts[RESIDENTS] += 1
    ledger.counts[ADMISSIONS] += 1
    if lifetime_s != np.inf:
        ledger.counts[MORTAL] = 1
    if ledger.counts[MORTAL]:
        ledger.expires_s[key] = requests.time_s[i] + lifetime_s


@inner_kernel
def book_eviction(ledger: Ledger, key: int) -> None:
    """Make the resident `key`, which the policy gave up, a stranger."""
    ledger.counts[EVICTIONS] += 1
    ledger.counts[EVICTION_AGE_SUM] += ledger.counts[NOW] - ledger.last_request[key]
    book_removal(ledger, key)


@inner_kernel
def book_removal(ledger: Ledger, key: int) -> None:
    """Make the resident `key` a stranger; whoever removes it counts it."""
    ledger.counts[USED] -= ledger.charge[key]
    ledger.counts[RESIDENTS] -= 1
    ledger.charge[key] = 0
    if ledger.left.size:
        ledger.left[ledger.left_size[0]] = key
        ledger.left_size[0] += 1
