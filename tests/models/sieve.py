"""SIEVE as a list of objects from the oldest to the newest; the hand is the name of one of them."""

from tests.models.base import Model, Request


class Sieve(Model):
    def __init__(self, limit: int, requests: list[Request], seed: int = 0) -> None:
        super().__init__(limit, requests, seed)
        self.queue: list[int] = []
        self.hand: int | None = None
        self.requested: set[int] = set()

    def on_hit(self, request: Request) -> None:
        self.requested.add(request.key)

    def on_admission(self, request: Request) -> None:
        self.queue.append(request.key)

    def on_removal(self, key: int) -> None:
        if self.hand == key:
            self.hand = self.newer(key)
        self.queue.remove(key)
        self.requested.discard(key)

    def newer(self, key: int) -> int | None:
        return dict(zip(self.queue, self.queue[1:], strict=False)).get(key)

    def victim(self, request: Request) -> int:
        start = 0 if self.hand is None else self.queue.index(self.hand)
        for key in 2 * (self.queue[start:] + self.queue[:start]):
            if key not in self.requested:
                break
            self.requested.remove(key)
        self.hand = self.newer(key)
        self.queue.remove(key)
        return key
