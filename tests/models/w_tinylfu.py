"""W-TinyLFU: three lists of names, and counters that are named by their position."""

from collections import Counter
from math import ceil, log

from tests.models.base import Model, Request

MASK = 2**64 - 1


def rotated(x: int, bits: int) -> int:
    return (x << bits | x >> 64 - bits) & MASK


def xxh64(number: int, seed: int) -> int:
    """XXH64 of eight bytes, by its specification: no stripes, one lane, avalanche."""
    lane = rotated(number * 14029467366897019727 & MASK, 31) * 11400714785074694791 & MASK
    digest = seed + 2870177450012600261 + 8 ^ lane
    digest = rotated(digest, 27) * 11400714785074694791 + 9650029242287828579 & MASK
    digest = (digest ^ digest >> 33) * 14029467366897019727 & MASK
    digest = (digest ^ digest >> 29) * 1609587929392839161 & MASK
    return digest ^ digest >> 32


class WTinyLfu(Model):
    def __init__(self, limit: int, requests: list[Request], seed: int = 0) -> None:
        super().__init__(limit, requests, seed)
        self.main_limit = limit - (int(limit * 0.01) or min(limit, 2))
        self.safe_limit = int(self.main_limit * 0.8)
        self.trial_limit = max(0, self.main_limit - self.safe_limit - 1)
        self.window: list[int] = []
        self.trial: list[int] = []
        self.safe: list[int] = []
        self.counters = max(20, ceil(-log(0.001) / log(2) ** 2 * self.main_limit))
        self.counted: Counter[int] = Counter()
        self.main_hits = 0

    def used(self, *queues: list[int]) -> int:
        return sum(self.held[key] for queue in queues for key in queue)

    def positions(self, key: int) -> list[int]:
        a, b = (xxh64(key + 1, seed) % 2**32 for seed in (0x12345678, 0x12344321))
        return [(a + j * b) % 2**32 % self.counters for j in range(10)]

    def tally(self, key: int) -> None:
        for position in self.positions(key):
            self.counted[position] += 1

    def estimate(self, key: int) -> int:
        return min(self.counted[position] for position in self.positions(key))

    def give_up(self, queue: list[int]) -> None:
        self.held.pop(queue.pop(0))
        self.evictions += 1

    def on_hit(self, request: Request) -> None:
        key = request.key
        queue = next(queue for queue in (self.window, self.trial, self.safe) if key in queue)
        queue.remove(key)
        if queue is self.trial:
            self.promote(key)
        else:
            queue.append(key)
        if queue is not self.window:
            self.tally(key)
            self.main_hits += 1
            objects = self.main_limit * len(self.held) / sum(self.held.values())
            if self.main_hits >= max(32 * objects, self.counters / 64):
                self.main_hits = 0
                self.counted = Counter({position: n // 2 for position, n in self.counted.items()})

    def promote(self, key: int) -> None:
        self.safe.append(key)
        while self.used(self.safe) > self.safe_limit:
            self.trial.append(self.safe.pop(0))
        while self.used(self.trial) > self.trial_limit and self.trial[0] != key:
            self.give_up(self.trial)

    def makes_room(self, request: Request) -> bool:
        while self.used(self.window, self.trial, self.safe) + request.charge > self.limit:
            if self.window:
                self.judge(self.window[0])
            else:
                self.give_up(self.trial or self.safe)
        return True

    def judge(self, key: int) -> None:
        def fits() -> bool:
            return self.used(self.trial, self.safe) + self.held[key] <= self.main_limit

        if not fits():
            rivals = self.trial + self.safe
            wins = self.held[key] <= self.main_limit and self.estimate(key) > self.estimate(rivals[0])
            if not wins:
                self.tally(key)
                self.give_up(self.window)
                return
        self.tally(key)
        while not fits():
            self.give_up(self.trial or self.safe)
        self.window.pop(0)
        full = self.used(self.trial) + self.held[key] > self.trial_limit
        has_room = self.used(self.safe) + self.held[key] <= self.safe_limit
        (self.safe if full and has_room else self.trial).append(key)

    def on_admission(self, request: Request) -> None:
        self.window.append(request.key)
        self.tally(request.key)

    def on_removal(self, key: int) -> None:
        for queue in (self.window, self.trial, self.safe):
            if key in queue:
                queue.remove(key)
