"""LHD: what happened at each class and age in counters, densities from the definition."""

import math
from collections import Counter

from tests.models.base import Request
from tests.models.random import Random

OLDEST = 19_999


class Lhd(Random):
    def __init__(self, limit: int, requests: list[Request], seed: int = 0, update_period: int = 2**20) -> None:
        super().__init__(limit, requests, seed)
        self.update_period = update_period
        self.ages: dict[int, list[int]] = {}
        self.explorers: set[int] = set()
        self.poor: list[int] = []
        self.hits: Counter[tuple[int, int]] = Counter()
        self.ends: Counter[tuple[int, int]] = Counter()
        self.densities: dict[tuple[int, int], float] | None = None
        self.budget, self.shift = int(limit * 0.01), 10
        self.served = self.updates = self.remembered = 0
        self.victim_density = self.objects = self.mass = 0.0

    def age(self, key: int) -> int:
        return min((self.now - self.last[key]) >> self.shift, OLDEST)

    def class_of(self, key: int) -> int:
        if not self.ages[key]:
            return 0
        age = sum(self.ages[key][-2:])
        return 15 if age == 0 else min(15, max(0, math.ceil(math.log2(20_000 / age))))

    def density(self, key: int, age: int) -> float:
        if age == OLDEST:
            return -1.0
        at = self.class_of(key), age
        known = (17 + at[0]) / (1 + age) if self.densities is None else self.densities.get(at, 0.0)
        return known / self.held[key] + (key in self.explorers)

    def victim(self, request: Request) -> int:
        drawn = [self.bag[self.draw(len(self.bag))] for _ in range(32 if self.updates > 50 else 8)]
        candidates = [*drawn, *(key for key in self.poor if key in self.held)]
        least = min(self.density(key, self.age(key)) for key in candidates)
        key = next(key for key in candidates if self.density(key, self.age(key)) == least)
        self.victim_density = 0.9 * self.victim_density + (1 - 0.9) * max(0.0, least)
        self.ends[self.class_of(key), self.age(key)] += 1
        self.on_removal(key)
        return key

    def on_removal(self, key: int) -> None:
        super().on_removal(key)
        self.dismiss(key)

    def dismiss(self, key: int) -> None:
        if key in self.explorers:
            self.explorers.remove(key)
            self.budget += self.held[key]

    def explore(self, key: int) -> bool:
        drawn = self.draw(32) == 0
        if drawn and self.budget > 0 and self.updates < 50:
            self.explorers.add(key)
            self.budget -= self.held[key]
        return drawn

    def on_hit(self, request: Request) -> None:
        key, age = request.key, self.age(request.key)
        self.hits[self.class_of(key), age] += 1
        self.ages[key].append(age)
        self.dismiss(key)
        self.explore(key)
        self.learn()

    def on_admission(self, request: Request) -> None:
        super().on_admission(request)
        self.ages[request.key] = []
        if not self.explore(request.key) and self.density(request.key, 0) < self.victim_density:
            self.remember(request.key)
        self.learn()

    def remember(self, key: int) -> None:
        """A ring of eight: the order in which they are asked is that of the ring."""
        self.poor[self.remembered % 8 : self.remembered % 8 + 1] = [key]
        self.remembered += 1

    def learn(self) -> None:
        self.served += 1
        if self.served % self.update_period:
            return
        for events in (self.hits, self.ends):
            for at in events:
                events[at] *= 0.9  # type: ignore[assignment]
        self.objects, self.mass = 0.9 * self.objects + len(self.held), 0.9 * self.mass + 1
        if self.updates in (5, 25):
            self.rescale(next(s for s in range(1, 99) if 2**s >= self.objects / self.mass / 200))
            self.objects, self.mass = 8 * self.objects, 8 * self.mass
        self.densities = {}
        for c in {c for c, _ in self.hits | self.ends}:
            self.define_densities(c)
        self.updates += 1

    def rescale(self, shift: int) -> None:
        """Only finer ages are modelled: caches of more than 200 * 2^10 objects would make them coarser."""
        finer = 2 ** (self.shift - shift)
        for events in (self.hits, self.ends):
            old = dict(events)
            events.clear()
            for (c, age), count in sorted(old.items()):
                for new in range(age * finer, min((age + 1) * finer, OLDEST)):
                    events[c, new] = count / finer  # type: ignore[assignment]
        self.shift = shift

    def define_densities(self, c: int) -> None:
        """Hits from each age on, over the requests that objects of that age will still be there for."""
        assert self.densities is not None
        hits = events = lifetime = 0.0
        for age in range(max(a for k, a in self.hits | self.ends if k == c), -1, -1):
            hits += self.hits[c, age]
            events += self.hits[c, age] + self.ends[c, age]
            lifetime += events
            self.densities[c, age] = hits / lifetime if events > 1e-5 else 0.0
