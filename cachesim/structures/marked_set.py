"""A set of object codes, some of them marked: any of them, or of the marked ones, can be drawn at random.

The marked ones come first, so that marking swaps two places; every operation is O(1) and allocates nothing.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel, kernel

ABSENT = -1
MEMBERS, MARKED = range(2)  # indices of Marked.size


class Marked(NamedTuple):
    """Objects in slots [0, size[MEMBERS]), in no particular order but that the marked ones are in [0, size[MARKED]).

    Attributes:
        key: int32 (n_keys,), the object in each slot.
        slot: int32 (n_keys,), where each object is, or ABSENT.
        size: int64 (2,), how many there are, and how many of them are marked.
    """

    key: NDArray[np.int32]
    slot: NDArray[np.int32]
    size: NDArray[np.int64]


def empty_marked(n_keys: int) -> Marked:
    """Return an empty set that can hold each object code in [0, n_keys)."""
    return Marked(np.zeros(n_keys, np.int32), np.full(n_keys, ABSENT, np.int32), np.zeros(2, np.int64))


@inner_kernel
def _swap(members: Marked, key: int, slot: int) -> None:
    """Let `key` and the object in `slot` change places."""
    left, other = members.slot[key], members.key[slot]
    members.key[left], members.slot[other] = other, left
    members.key[slot], members.slot[key] = key, slot


@kernel
def is_marked(members: Marked, key: int) -> bool:
    """Return whether `key`, which is present, is marked."""
    return bool(members.slot[key] < members.size[MARKED])


@kernel
def mark(members: Marked, key: int) -> None:
    """Mark `key`, which is present and not marked."""
    _swap(members, key, members.size[MARKED])
    members.size[MARKED] += 1


@kernel
def unmark(members: Marked, key: int) -> None:
    """Take the mark off `key`, which is present and marked."""
    members.size[MARKED] -= 1
    _swap(members, key, members.size[MARKED])


@kernel
def insert(members: Marked, key: int) -> None:
    """Put in `key`, which is absent, without a mark."""
    slot = members.size[MEMBERS]
    members.key[slot], members.slot[key] = key, slot
    members.size[MEMBERS] += 1


@kernel
def discard(members: Marked, key: int) -> None:
    """Take out `key`, which is present."""
    if is_marked(members, key):
        unmark(members, key)
    members.size[MEMBERS] -= 1
    _swap(members, key, members.size[MEMBERS])
    members.slot[key] = ABSENT
