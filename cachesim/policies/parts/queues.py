"""Queues that share the keys: each object is in one of them or in none.

A queue holds residents, or the names of objects that left the cache (a ghost queue).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel
from cachesim.structures.lists import Links, empty_links, oldest, push, unlink

NOWHERE = -1


class Queues(NamedTuple):
    """A few queues with a budget each.

    Attributes:
        links: the queues, queue j being list j.
        place: int8 (n_keys,), the queue that each object is in, or NOWHERE.
        charge: int64 (n_keys,), what each object in a queue is charged.
        used: int64 (n_queues,), sum of the charges in each queue.
        limit: int64 (n_queues,), what each queue should hold at most; the policy sees to it.
    """

    links: Links
    place: NDArray[np.int8]
    charge: NDArray[np.int64]
    used: NDArray[np.int64]
    limit: NDArray[np.int64]


def empty_queues(n_keys: int, *limits: int) -> Queues:
    """Return one empty queue for each limit."""
    return Queues(
        links=empty_links(n_keys, len(limits)),
        place=np.full(n_keys, NOWHERE, np.int8),
        charge=np.zeros(n_keys, np.int64),
        used=np.zeros(len(limits), np.int64),
        limit=np.array(limits, np.int64),
    )


def share(limit: int, fraction: float) -> int:
    """Return `fraction` of a capacity, rounded down, at least 1."""
    return max(1, int(limit * fraction))


def knows_members(state: Any, codes: slice) -> NDArray[np.bool_]:
    """Return which objects of a slice of codes a state says something about, where these are those in its `queues`."""
    return np.asarray(state.queues.place[codes] != NOWHERE)


@inner_kernel
def head_of(queue: int) -> int:
    """Return the head of a queue in `Queues.links`."""
    return -1 - queue


@inner_kernel
def enter(queues: Queues, queue: int, key: int, charge: int) -> None:
    """Make `key`, which is nowhere, the newest of `queue`."""
    push(queues.links, head_of(queue), key)
    queues.place[key] = queue
    queues.charge[key] = charge
    queues.used[queue] += charge


@inner_kernel
def leave(queues: Queues, key: int) -> None:
    """Take `key` out of its queue."""
    unlink(queues.links, key)
    queues.used[queues.place[key]] -= queues.charge[key]
    queues.place[key] = NOWHERE


@inner_kernel
def first(queues: Queues, queue: int) -> int:
    """Return the oldest object of `queue`, which is not empty."""
    return int(oldest(queues.links, head_of(queue)))


@inner_kernel
def renew(queues: Queues, key: int) -> None:
    """Make `key` the newest of its queue."""
    unlink(queues.links, key)
    push(queues.links, head_of(queues.place[key]), key)


@inner_kernel
def remember(queues: Queues, ghost: int, key: int, charge: int) -> None:
    """Make `key`, which is nowhere, the newest of the queue `ghost`, and forget the oldest ones beyond its limit."""
    if charge > queues.limit[ghost]:
        return
    while queues.used[ghost] + charge > queues.limit[ghost]:
        leave(queues, first(queues, ghost))
    enter(queues, ghost, key, charge)


@inner_kernel
def recall(queues: Queues, ghost: int, key: int) -> bool:
    """Return whether the queue `ghost` remembers `key`, and forget it there."""
    if queues.place[key] != ghost:
        return False
    leave(queues, key)
    return True
