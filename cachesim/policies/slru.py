"""Segmented LRU: four LRU segments; each hit lifts an object to the next, overflow sinks back, the lowest is evicted.

Karedla, Love, Wherry: Caching strategies to improve disk system performance. Computer 27 (3), 1994 (two segments).
Huang, Birman, van Renesse, Lloyd, Kumar, Li: An analysis of Facebook photo caching. SOSP 2013 (four segments).

Each segment may take a quarter of the capacity, rounded down. As in libCacheSim, a newcomer enters the lowest segment
that has room for it, or the lowest where none has, so that this one may exceed its share; the next time that an object
sinks into it, it gives up what is too much, though the cache may have room. Unlike there, an object larger than a
segment is admitted; it stays in the lowest one, so that a cache of less than four objects is an LRU cache.
"""

from typing import NamedTuple

from cachesim.compiled import inner_kernel
from cachesim.policies.parts.ledger import (
    Ledger,
    admissible,
    book_admission,
    book_eviction,
    book_removal,
    empty_ledger,
    hits,
    is_full,
    knows_residents,
    outlived,
)
from cachesim.policies.parts.loop import kernels_with
from cachesim.policies.parts.queues import Queues, empty_queues, enter, first, leave, renew
from cachesim.requests import Requests

SEGMENTS = 4
LOWEST, HIGHEST = 0, SEGMENTS - 1


class State(NamedTuple):
    """The ledger, and the segments, queue LOWEST to queue HIGHEST, each in order of the last requests."""

    ledger: Ledger
    segments: Queues


def start(n_keys: int, limit: int) -> State:
    """Return an empty cache."""
    return State(empty_ledger(n_keys, limit), empty_queues(n_keys, *[limit // SEGMENTS] * SEGMENTS))


@inner_kernel
def _evict_from(state: State, segment: int) -> None:
    """Evict the least recently used object of a segment."""
    key = first(state.segments, segment)
    leave(state.segments, key)
    book_eviction(state.ledger, key)


@inner_kernel
def _evict(state: State) -> None:
    """Evict the least recently used object of the lowest segment that is not empty."""
    segment = LOWEST
    while state.segments.used[segment] == 0:
        segment += 1
    _evict_from(state, segment)


@inner_kernel
def _lift(state: State, key: int) -> None:
    """Move an object to the next segment, and what is too much there and below down by one."""
    segments, upper, charge = state.segments, state.segments.place[key] + 1, state.segments.charge[key]
    leave(segments, key)
    enter(segments, upper, key, charge)
    for segment in range(upper, LOWEST, -1):
        while segments.used[segment] > segments.limit[segment]:
            _sink(state, segment)


@inner_kernel
def _sink(state: State, segment: int) -> None:
    """Move the least recently used object of a segment down; what is then too much in the lowest is evicted."""
    segments, key = state.segments, first(state.segments, segment)
    charge = segments.charge[key]
    leave(segments, key)
    enter(segments, segment - 1, key, charge)
    if segment - 1 == LOWEST:
        while segments.used[LOWEST] > segments.limit[LOWEST]:
            _evict_from(state, LOWEST)


@inner_kernel
def _entrance(state: State, charge: int) -> int:
    """Return the lowest segment with room for an object of this charge, LOWEST if there is none."""
    for segment in range(SEGMENTS):
        if state.segments.used[segment] + charge <= state.segments.limit[segment]:
            return segment
    return LOWEST


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key, segments = requests.key[i], state.segments
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if not hits(state.ledger, key):
        return False
    if segments.place[key] == HIGHEST or segments.charge[key] > segments.limit[LOWEST]:
        renew(segments, key)
    else:
        _lift(state, key)
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    charge = requests.charge[i]
    if not admissible(state.ledger, requests, i):
        return False
    while is_full(state.ledger, charge):
        _evict(state)
    enter(state.segments, _entrance(state, charge), requests.key[i], charge)
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    leave(state.segments, key)
    book_removal(state.ledger, key)


knows = knows_residents
replay, steps = kernels_with(globals())
