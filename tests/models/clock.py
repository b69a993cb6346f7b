"""CLOCK as a ring of objects and a hand that stands before the next one to judge."""

from tests.models.base import Model, Request


class Clock(Model):
    def __init__(self, limit: int, requests: list[Request], seed: int = 0) -> None:
        super().__init__(limit, requests, seed)
        self.ring: list[int] = []
        self.hand = 0
        self.requested: set[int] = set()

    def on_hit(self, request: Request) -> None:
        self.requested.add(request.key)

    def on_admission(self, request: Request) -> None:
        self.ring.insert(self.hand, request.key)
        self.hand += 1

    def on_removal(self, key: int) -> None:
        place = self.ring.index(key)
        self.ring.pop(place)
        self.hand -= place < self.hand
        self.requested.discard(key)

    def victim(self, request: Request) -> int:
        while True:
            self.hand %= len(self.ring)
            key = self.ring[self.hand]
            if key not in self.requested:
                return self.ring.pop(self.hand)
            self.requested.remove(key)
            self.hand += 1
