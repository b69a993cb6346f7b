"""GDSF: priorities in a dictionary whose order is that of the last requests."""

import math
from statistics import fmean

from tests.models.base import Model, Request


class Gdsf(Model):
    def __init__(self, limit: int, requests: list[Request], seed: int = 0) -> None:
        super().__init__(limit, requests, seed)
        self.age = 0.0
        self.priority: dict[int, float] = {}
        self.count: dict[int, int] = {}
        self.cost: dict[int, float] = {}
        self.known: list[float] = []

    def rank(self, key: int, charge: int) -> None:
        self.priority.pop(key, None)
        self.priority[key] = self.age + self.count[key] * self.cost[key] / charge

    def on_hit(self, request: Request) -> None:
        self.count[request.key] += 1
        if not math.isnan(request.load_time_ms):
            self.cost[request.key] = request.load_time_ms
        self.rank(request.key, self.held[request.key])

    def on_miss(self, request: Request) -> None:
        if not math.isnan(request.load_time_ms):
            self.known.append(request.load_time_ms)
            self.cost[request.key] = request.load_time_ms
        else:
            self.cost[request.key] = fmean(self.known) if self.known else 1.0
        self.count[request.key] = 1

    def makes_room(self, request: Request) -> bool:
        """The newcomer takes its place first, and may be the one to go."""
        self.rank(request.key, request.charge)
        while sum(self.held.values()) + request.charge > self.limit:
            lowest = min(self.priority, key=lambda key: self.priority[key])
            self.age = self.priority.pop(lowest)
            if lowest == request.key:
                return False
            self.held.pop(lowest)
            self.evictions += 1
        return True

    def on_removal(self, key: int) -> None:
        self.priority.pop(key)
