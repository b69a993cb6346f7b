"""AdaptSize: dictionaries in order of the last requests, and the model of the paper over classes in a dictionary."""

import math

from tests.models.base import Request
from tests.models.random import Random


class AdaptSize(Random):
    def __init__(
        self, limit: int, requests: list[Request], seed: int = 0, least: int = 4096, requests_a_resident: int = 4
    ) -> None:
        super().__init__(limit, requests, seed)
        self.least, self.requests_a_resident = least, requests_a_resident
        self.recency: dict[int, int] = {}  # the residents, least recently requested first, and their charges
        self.seen: dict[int, int] = {}  # others
        self.count: dict[int, int] = {}  # in sixteenths
        self.charges: set[int] = set()
        self.scale = math.inf
        self.scales: list[float] = []
        self.untuned = 0

    def before(self, request: Request) -> None:
        if request.key in self.held and request.time_s >= self.expires_s[request.key]:
            self.expire(request.key)
        if request.charge <= self.limit:
            self.observe(request)

    def observe(self, request: Request) -> None:
        key = request.key
        self.charges.add(request.charge)
        place = self.recency if key in self.recency else self.seen
        if key not in place:
            self.count[key] = 0
        self.note(place, key, place.pop(key, request.charge))
        self.count[key] += 16
        self.untuned += 1
        if self.untuned >= max(self.least, self.requests_a_resident * len(self.held)):
            self.tune()

    def note(self, place: dict[int, int], key: int, charge: int) -> None:
        place[key] = charge
        while sum(self.seen.values()) > 3 * self.limit:
            self.seen.pop(next(iter(self.seen)))

    def tune(self) -> None:
        self.untuned = 0
        if self.evictions == 0 or len(self.charges) < 2:
            return
        classes: dict[tuple[int, int], list[int]] = {}
        for key, charge in (self.recency | self.seen).items():
            n = self.count[key]
            if n > 0:
                total = classes.setdefault((charge.bit_length(), n.bit_length()), [0, 0, 0])
                for quantity, value in enumerate((1, charge, n)):
                    total[quantity] += value
            self.count[key] //= 2
        scales = [math.inf, *(2.0**j for j in reversed(range(self.limit.bit_length())))]
        promised = [self.promise(list(classes.values()), scale) for scale in scales]
        self.scale = scales[promised.index(max(promised))]
        self.scales.append(self.scale)

    def promise(self, classes: list[list[int]], scale: float) -> float:
        def expected(quantity: int, time: float) -> float:
            total = 0.0
            for of in classes:
                odds = self.chance(of[1] / of[0], scale) * (math.exp(min(40.0, of[2] / of[0] * time)) - 1.0)
                total += of[quantity] * (odds / (1.0 + odds))
            return total

        low, high = -40.0, 40.0
        for _ in range(30):
            middle = (low + high) / 2
            if expected(1, 2.0**middle) < self.limit:
                low = middle
            else:
                high = middle
        return expected(2, 2.0**low)

    def chance(self, charge: float, scale: float) -> float:
        return math.exp((min(self.charges) - charge) / scale)

    def makes_room(self, request: Request) -> bool:
        chance = self.chance(request.charge, self.scale)
        if chance < 1.0:
            self.draw(1)
            if (self.bits >> 11) / 2**53 >= chance:
                return False
        self.seen.pop(request.key, None)
        while sum(self.held.values()) + request.charge > self.limit:
            victim = next(iter(self.recency))
            charge = self.recency.pop(victim)
            self.held.pop(victim)
            self.evictions += 1
            self.note(self.seen, victim, charge)
        return True

    def on_admission(self, request: Request) -> None:
        self.recency[request.key] = request.charge

    def on_removal(self, key: int) -> None:
        self.recency.pop(key)
