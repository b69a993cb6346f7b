"""Decisions on misses once more, written plainly: which requests hit, what is decided, and what each action brings."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from schemas.trace import Trace


def sees(trace: Trace, i: int) -> tuple[int, float, int]:
    """Return key, time and version of request i."""
    return int(trace.key[i]), float(trace.timestamp_s[i]), 0 if trace.version is None else int(trace.version[i])


@dataclass
class Copy:
    expires_s: float
    latest: int  # its object's latest request


class DecidedLru:
    """LRU of so many objects; `decide` gets the position of a miss and returns the lifetime of what was fetched.

    Attributes:
        decided: the misses that were decided.
        rewards: of each, what it adds to keep the object less what left for it; by request -> next request.
    """

    def __init__(self, trace: Trace, limit: int, every_miss: bool, decide: Callable[[int], float]) -> None:
        self.trace, self.limit, self.every_miss, self.decide = trace, limit, every_miss, decide
        self.held: OrderedDict[int, Copy] = OrderedDict()
        self.decided: list[int] = []
        self.left: list[list[int]] = []  # the latest requests of what left at each decision

    def run(self, start: int = 0) -> list[bool]:
        return [self.serve(i) for i in range(start, len(self.trace))]

    def serve(self, i: int) -> bool:
        key, time_s, _ = sees(self.trace, i)
        if key in self.held and time_s >= self.held[key].expires_s:
            del self.held[key]
        if key in self.held:
            self.held.move_to_end(key)
            self.held[key].latest = i
            return True
        lifetime_s = float("inf")
        asked = self.every_miss or len(self.held) == self.limit
        if asked:
            self.decided.append(i)
            self.left.append([])
            lifetime_s = self.decide(i)
        if lifetime_s > 0:
            if len(self.held) == self.limit:
                _, evicted = self.held.popitem(last=False)
                if asked:
                    self.left[-1].append(evicted.latest)
            self.held[key] = Copy(time_s + lifetime_s, i)
        return False


def worth(trace: Trace, now: int, at: int, half_distance: float, values: list[float]) -> float:
    """Return what keeping the object of request `at` is worth at request `now`."""
    for i in range(at + 1, len(trace)):
        if trace.key[i] == trace.key[at]:
            return values[at] / (1 + (i - now) / half_distance)
    return 0.0


def life(trace: Trace, i: int, ttl_s: float, kept_requests: float, values: list[float]) -> tuple[float, float, int]:
    """Return value of hits and of stale hits on the copy that request i stores, and the object's next miss (or n)."""
    key, stored_s, version = sees(trace, i)
    hits = stale = 0.0
    latest = i
    for j in range(i + 1, len(trace)):
        other, time_s, now = sees(trace, j)
        if other != key:
            continue
        if ttl_s == 0 or time_s >= stored_s + ttl_s or j - latest > kept_requests:
            return hits, stale, j
        hits += values[j]
        stale += values[j] * (now != version)
        latest = j
    return hits, stale, len(trace)


def total(trace: Trace, i: int, ttl_s: float, kept_requests: float, values: list[float], weight: float) -> float:
    """Return the gain of request i's object from there on, if every fetch of it gets this time to live."""
    gain = 0.0
    while i < len(trace):
        hits, stale, i = life(trace, i, ttl_s, kept_requests, values)
        gain += hits - weight * stale
    return gain


def best_fixed_s(
    trace: Trace, endpoint: int, ladder_s: list[float], kept_requests: float, values: list[float], weight: float
) -> float:
    """Return the time to live that gains most over all objects first requested at an endpoint."""
    first = [i for i in range(len(trace)) if trace.key[i] not in trace.key[:i] and trace.endpoint[i] == endpoint]
    gains = [sum(total(trace, i, t, kept_requests, values, weight) for i in first) for t in ladder_s]
    return ladder_s[gains.index(max(gains))]
