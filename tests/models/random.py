"""Random replacement: a list of residents, and a generator of random numbers on Python's integers."""

import numpy as np

from tests.models.base import Model, Request


class Random(Model):
    def __init__(self, limit: int, requests: list[Request], seed: int = 0) -> None:
        super().__init__(limit, requests, seed)
        self.bits = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]) | 1
        self.bag: list[int] = []

    def draw(self, n: int) -> int:
        self.bits ^= self.bits << 13 & 2**64 - 1
        self.bits ^= self.bits >> 7
        self.bits ^= self.bits << 17 & 2**64 - 1
        return (self.bits >> 33) % n

    def on_admission(self, request: Request) -> None:
        self.bag.append(request.key)

    def on_removal(self, key: int) -> None:
        self.bag[self.bag.index(key)] = self.bag[-1]
        self.bag.pop()

    def victim(self, request: Request) -> int:
        key = self.bag[self.draw(len(self.bag))]
        self.on_removal(key)
        return key
