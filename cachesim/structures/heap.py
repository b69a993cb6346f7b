"""An indexed binary heap in which equal priorities leave in the order in which they were put in.

Williams: Algorithm 232, Heapsort. Communications of the ACM 7 (6), 1964.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel, kernel

ABSENT = -1


class Heap(NamedTuple):
    """Objects in order of priority; among equals, the one whose priority was set longest ago comes first.

    Attributes:
        key: int32 (n_keys,), the heap: below slot i come 2i + 1 and 2i + 2. The first `size[0]` slots count.
        slot: int32 (n_keys,), where each object is in `key`, or ABSENT.
        priority: int64 or float64 (n_keys,), of the objects present.
        turn: int64 (n_keys,), how many priorities had been set before that of each object present.
        size: int64 (1,).
        turns: int64 (1,), how many priorities were set.
    """

    key: NDArray[np.int32]
    slot: NDArray[np.int32]
    priority: NDArray[Any]
    turn: NDArray[np.int64]
    size: NDArray[np.int64]
    turns: NDArray[np.int64]


def empty_heap(n_keys: int, priority: type[np.int64] | type[np.float64] = np.int64) -> Heap:
    """Return a heap that can hold each object code in [0, n_keys) once, with priorities of the given type."""
    return Heap(
        key=np.zeros(n_keys, np.int32),
        slot=np.full(n_keys, ABSENT, np.int32),
        priority=np.zeros(n_keys, priority),
        turn=np.zeros(n_keys, np.int64),
        size=np.zeros(1, np.int64),
        turns=np.zeros(1, np.int64),
    )


@kernel
def put(heap: Heap, key: int, priority: float) -> None:
    """Add an object, or set the priority of one that is there; it comes after all that have the same."""
    if heap.slot[key] == ABSENT:
        heap.slot[key] = heap.size[0]
        heap.size[0] += 1
    heap.priority[key] = priority
    heap.turn[key] = heap.turns[0]
    heap.turns[0] += 1
    _sink(heap, _float(heap, heap.slot[key], key), key)


@kernel
def top(heap: Heap) -> int:
    """Return the object that comes first; the heap must not be empty."""
    return int(heap.key[0])


@inner_kernel
def pop(heap: Heap) -> int:
    """Take out the object that comes first and return it; the heap must not be empty."""
    first = top(heap)
    take(heap, first)
    return int(first)


@kernel
def take(heap: Heap, key: int) -> None:
    """Take out an object that is there."""
    slot = heap.slot[key]
    heap.slot[key] = ABSENT
    heap.size[0] -= 1
    if slot != heap.size[0]:
        last = heap.key[heap.size[0]]
        _sink(heap, _float(heap, slot, last), last)


@inner_kernel
def _before(heap: Heap, one: int, other: int) -> bool:
    """Return whether `one` comes before `other`."""
    if heap.priority[one] != heap.priority[other]:
        return bool(heap.priority[one] < heap.priority[other])
    return bool(heap.turn[one] < heap.turn[other])


@inner_kernel
def _place(heap: Heap, slot: int, key: int) -> None:
    heap.key[slot] = key
    heap.slot[key] = slot


@inner_kernel
def _float(heap: Heap, slot: int, key: int) -> int:
    """Return the slot, `slot` or above it, where all on the way to the top come before `key`; make it free."""
    while slot > 0:
        parent = (slot - 1) >> 1
        if _before(heap, heap.key[parent], key):
            break
        _place(heap, slot, heap.key[parent])
        slot = parent
    return slot


@inner_kernel
def _sink(heap: Heap, slot: int, key: int) -> None:
    """Put `key` at the free `slot`, or as far below it as there are some that come before it."""
    child = 2 * slot + 1
    while child < heap.size[0]:
        if child + 1 < heap.size[0] and _before(heap, heap.key[child + 1], heap.key[child]):
            child += 1
        if _before(heap, key, heap.key[child]):
            break
        _place(heap, slot, heap.key[child])
        slot, child = child, 2 * child + 1
    _place(heap, slot, key)
