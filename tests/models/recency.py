"""FIFO, LRU, LFU and Belady's MIN."""

from tests.models.base import Model, Request


class Fifo(Model):
    """Dictionaries keep the order of insertion."""


class Lru(Model):
    def on_hit(self, request: Request) -> None:
        self.held[request.key] = self.held.pop(request.key)


class Lfu(Model):
    def __init__(self, limit: int, requests: list[Request], seed: int = 0) -> None:
        super().__init__(limit, requests, seed)
        self.count: dict[int, int] = {}

    def on_hit(self, request: Request) -> None:
        self.count[request.key] += 1

    def on_admission(self, request: Request) -> None:
        self.count[request.key] = 1

    def victim(self, request: Request) -> int:
        return min(self.held, key=lambda key: (self.count[key], self.last[key]))


class Belady(Model):
    def victim(self, request: Request) -> int:
        return max(self.held, key=self.eagerness)

    def eagerness(self, key: int) -> tuple[float, int]:
        later = (i for i in range(self.now + 1, len(self.requests)) if self.requests[i].key == key)
        return (next(later, float("inf")), -self.last[key])
