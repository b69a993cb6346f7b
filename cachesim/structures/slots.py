"""A set of object codes from which one can be drawn at random: every operation is O(1) and allocates nothing."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel

ABSENT = -1


class Slots(NamedTuple):
    """Objects in slots [0, size[0]), in no particular order.

    Attributes:
        key: int32 (n_keys,), the object in each slot.
        slot: int32 (n_keys,), where each object is, or ABSENT.
        size: int64 (1,).
    """

    key: NDArray[np.int32]
    slot: NDArray[np.int32]
    size: NDArray[np.int64]


def empty_slots(n_keys: int) -> Slots:
    """Return an empty set that can hold each object code in [0, n_keys)."""
    return Slots(np.zeros(n_keys, np.int32), np.full(n_keys, ABSENT, np.int32), np.zeros(1, np.int64))


@inner_kernel
def occupy(slots: Slots, key: int) -> None:
    """Put in `key`, which is absent."""
    slots.key[slots.size[0]] = key
    slots.slot[key] = slots.size[0]
    slots.size[0] += 1


@inner_kernel
def vacate(slots: Slots, key: int) -> None:
    """Take out `key`, which is present; the object in the last slot moves into its slot."""
    slots.size[0] -= 1
    slot, moved = slots.slot[key], slots.key[slots.size[0]]
    slots.key[slot] = moved
    slots.slot[moved] = slot
    slots.slot[key] = ABSENT
