"""An indexed binary heap over object codes: the smallest priority is on top, and any priority can be changed.

Williams: Algorithm 232, Heapsort. Communications of the ACM 7 (6), 1964.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import kernel

ABSENT = -1


class Heap(NamedTuple):
    """Objects in order of priority.

    Attributes:
        key: int32 (n_keys,), the heap: below slot i come 2i + 1 and 2i + 2. The first `size[0]` slots count.
        slot: int32 (n_keys,), where each object is in `key`, or ABSENT.
        priority: int64 or float64 (n_keys,), of the objects present.
        size: int64 (1,).
    """

    key: NDArray[np.int32]
    slot: NDArray[np.int32]
    priority: NDArray[Any]
    size: NDArray[np.int64]


def empty_heap(n_keys: int, priority: type[np.int64] | type[np.float64] = np.int64) -> Heap:
    """Return a heap that can hold each object code in [0, n_keys) once, with priorities of the given type."""
    return Heap(
        key=np.zeros(n_keys, np.int32),
        slot=np.full(n_keys, ABSENT, np.int32),
        priority=np.zeros(n_keys, priority),
        size=np.zeros(1, np.int64),
    )


@kernel
def put(heap: Heap, key: int, priority: float) -> None:
    """Add an object, or change the priority of one that is there."""
    if heap.slot[key] == ABSENT:
        heap.slot[key] = heap.size[0]
        heap.size[0] += 1
    heap.priority[key] = priority
    _sink(heap, _float(heap, heap.slot[key], key), key)


@kernel
def pop(heap: Heap) -> int:
    """Take out the object of the smallest priority and return it; the heap must not be empty."""
    top = int(heap.key[0])
    heap.slot[top] = ABSENT
    heap.size[0] -= 1
    if heap.size[0] > 0:
        _sink(heap, 0, heap.key[heap.size[0]])
    return top


@kernel
def take(heap: Heap, key: int) -> None:
    """Take out an object that is there."""
    slot = heap.slot[key]
    heap.slot[key] = ABSENT
    heap.size[0] -= 1
    if slot != heap.size[0]:
        last = heap.key[heap.size[0]]
        _sink(heap, _float(heap, slot, last), last)


@kernel
def _place(heap: Heap, slot: int, key: int) -> None:
    heap.key[slot] = key
    heap.slot[key] = slot


@kernel
def _float(heap: Heap, slot: int, key: int) -> int:
    """Return the slot, `slot` or above it, where nothing on the way to the top is larger than `key`; make it free."""
    while slot > 0:
        parent = (slot - 1) >> 1
        if heap.priority[heap.key[parent]] <= heap.priority[key]:
            break
        _place(heap, slot, heap.key[parent])
        slot = parent
    return slot


@kernel
def _sink(heap: Heap, slot: int, key: int) -> None:
    """Put `key` at the free `slot`, or as far below it as smaller ones reach."""
    child = 2 * slot + 1
    while child < heap.size[0]:
        if child + 1 < heap.size[0] and heap.priority[heap.key[child + 1]] < heap.priority[heap.key[child]]:
            child += 1
        if heap.priority[heap.key[child]] >= heap.priority[key]:
            break
        _place(heap, slot, heap.key[child])
        slot, child = child, 2 * child + 1
    _place(heap, slot, key)
