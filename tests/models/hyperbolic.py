"""Hyperbolic caching: requests per time in the cache as exact fractions."""

from fractions import Fraction

from tests.models.base import Request
from tests.models.random import Random


class Hyperbolic(Random):
    def __init__(self, limit: int, requests: list[Request], seed: int = 0) -> None:
        super().__init__(limit, requests, seed)
        self.count: dict[int, int] = {}
        self.since: dict[int, int] = {}

    def on_hit(self, request: Request) -> None:
        self.count[request.key] += 1

    def on_admission(self, request: Request) -> None:
        super().on_admission(request)
        self.count[request.key], self.since[request.key] = 1, self.now

    def sample(self) -> list[int]:
        """Return 64 residents, each drawn with 32 bits of which every other 64 bits have two."""
        drawn = []
        for _ in range(32):
            self.draw(1)
            halves = self.bits // 2**32, self.bits % 2**32
            drawn += [self.bag[half * len(self.bag) // 2**32] for half in halves]
        return drawn

    def victim(self, request: Request) -> int:
        key = min(self.sample(), key=lambda key: Fraction(self.count[key], self.now - self.since[key]))
        self.on_removal(key)
        return key
