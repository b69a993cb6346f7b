"""The bookkeeping that every policy shares: who is resident, for how much, since which request, and the counts."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import kernel

LIMIT, USED, RESIDENTS, NOW, ADMISSIONS, EVICTIONS, REJECTIONS, EVICTION_AGE_SUM = range(8)  # indices of Ledger.counts


class Ledger(NamedTuple):
    """What the cache holds and has done.

    Attributes:
        charge: int64 (n_keys,), what each resident is charged; 0 for an object that is not resident.
        last_request: int64 (n_keys,), index of the last request of each resident.
        counts: int64 (8,): limit and sum of charges, residents, index of the current request (-1 before the first),
            admissions, evictions, rejections, and the sum over evictions of requests since the object's last one.
    """

    charge: NDArray[np.int64]
    last_request: NDArray[np.int64]
    counts: NDArray[np.int64]


def empty_ledger(n_keys: int, limit: int) -> Ledger:
    """Return the ledger of an empty cache; charges may sum to `limit`."""
    counts = np.zeros(8, np.int64)
    counts[LIMIT], counts[NOW] = limit, -1
    return Ledger(np.zeros(n_keys, np.int64), np.zeros(n_keys, np.int64), counts)


@kernel
def hits(ledger: Ledger, key: int) -> bool:
    """Count one request of `key` and return whether it is resident."""
    ledger.counts[NOW] += 1
    if ledger.charge[key] == 0:
        return False
    ledger.last_request[key] = ledger.counts[NOW]
    return True


@kernel
def admissible(ledger: Ledger, charge: int) -> bool:
    """Return whether an object of this charge may enter at all, and count a rejection if not."""
    if charge <= ledger.counts[LIMIT]:
        return True
    ledger.counts[REJECTIONS] += 1
    return False


@kernel
def is_full(ledger: Ledger, charge: int) -> bool:
    """Return whether an object of this charge does not fit without an eviction."""
    return bool(ledger.counts[USED] + charge > ledger.counts[LIMIT])


@kernel
def admit(ledger: Ledger, key: int, charge: int) -> None:
    """Make `key` a resident; there must be room."""
    ledger.charge[key] = charge
    ledger.last_request[key] = ledger.counts[NOW]
    ledger.counts[USED] += charge
    ledger.counts[RESIDENTS] += 1
    ledger.counts[ADMISSIONS] += 1


@kernel
def evict(ledger: Ledger, key: int) -> None:
    """Make the resident `key` a stranger."""
    ledger.counts[USED] -= ledger.charge[key]
    ledger.counts[RESIDENTS] -= 1
    ledger.counts[EVICTIONS] += 1
    ledger.counts[EVICTION_AGE_SUM] += ledger.counts[NOW] - ledger.last_request[key]
    ledger.charge[key] = 0
