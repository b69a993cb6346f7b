"""The guard, written plainly over sets: which of several caches a cache follows, and whom it evicts."""

import math
from typing import Protocol

from tests.models.base import Request


class Shadow(Protocol):
    """A cache that the guard may follow: `held` has the residents' keys."""

    held: dict[int, int]

    def serve(self, request: Request) -> bool: ...


class Guarded:
    """A cache that follows one of `shadows`, for so few residents that a victim is the oldest of all strangers."""

    def __init__(
        self, limit: int, shadows: list[Shadow], leader: int, capacity_objects: float, entry: list[int]
    ) -> None:
        self.limit, self.shadows, self.leader, self.capacity_objects = limit, shadows, leader, capacity_objects
        self.entry = entry  # how many requests pass before each one takes part
        self.held: dict[int, int] = {}
        self.expires_s: dict[int, float] = {}
        self.last: dict[int, int] = {}
        self.worth: dict[int, float] = {}
        self.values: list[float] = []
        self.lead = [0.0] * len(shadows)
        self.led = [0] * len(shadows)
        self.caution, self.switched = 1.0, [-math.inf]
        self.admissions = self.evictions = self.rejections = self.expiries = self.strangerless = 0

    def serve(self, request: Request, value: float) -> bool:
        key = request.key
        if key in self.held and request.time_s >= self.expires_s[key]:
            self.expiries += 1
            del self.held[key]
        hit = key in self.held
        before = [set(shadow.held) for shadow in self.shadows]
        hits = [shadow.serve(request) for shadow in self.shadows]
        self.values.append(value)
        self.worth[key] = value
        if hit:
            names = [set(shadow.held) for shadow in self.shadows]
        else:  # what the shadows fetch arrives after the judgement
            names = [(b - {key}) | ({key} if h else set()) for b, h in zip(before, hits, strict=True)]
        self.judge(hits, names)
        if not hit:
            self.admit(request)
        if key in self.held:
            self.last[key] = len(self.values)
        return hit

    def judge(self, hits: list[bool], names: list[set[int]]) -> None:
        n, value = len(self.values), self.values[-1]
        self.led[self.leader] += 1
        root_mean_square = math.sqrt(sum(v * v for v in self.values) / n)
        margin = {}
        for p, hit in enumerate(hits):
            if n > self.entry[p]:
                self.lead[p] = max(0.0, self.lead[p] + value * (hit - hits[self.leader]))
            to_fetch = sum(self.worth[key] for key in names[p] - set(self.held))
            margin[p] = self.lead[p] - 16 * root_mean_square - self.caution * 0.5 * to_fetch
        best = max(margin, key=lambda p: (margin[p], -p))
        if margin[best] > 0 and best != self.leader:
            soon = n - self.switched[-1] < 32 * self.capacity_objects
            self.caution = min(2 * self.caution, 8.0) if soon else max(1.0, self.caution / 2)
            self.switched.append(n)
            self.leader, self.lead = best, [0.0] * len(self.shadows)

    def admit(self, request: Request) -> None:
        wanted = self.shadows[self.leader].held
        if request.charge > self.limit or request.lifetime_s <= 0 or request.key not in wanted:
            self.rejections += 1
            return
        while sum(self.held.values()) + request.charge > self.limit:
            strangers = [key for key in self.held if key not in wanted]
            self.strangerless += not strangers
            self.evictions += 1
            del self.held[min(strangers or self.held, key=lambda key: self.last[key])]
        self.held[request.key] = request.charge
        self.expires_s[request.key] = request.time_s + request.lifetime_s
        self.admissions += 1
