"""ARC: names with a stamp; whose list a name is in follows from what it is, its place in it from its stamp."""

import itertools

from tests.models.base import Model, Request


class Arc(Model):
    def __init__(self, limit: int, requests: list[Request], seed: int = 0) -> None:
        super().__init__(limit, requests, seed)
        self.ghosts: dict[int, int] = {}
        self.often: set[int] = set()
        self.stamp: dict[int, int] = {}
        self.ticks = itertools.count()
        self.target = 0.0
        self.returning: str | None = None

    def of(self, names: dict[int, int], often: bool) -> dict[int, int]:
        return {key: charge for key, charge in names.items() if (key in self.often) == often}

    def used(self, names: dict[int, int], often: bool) -> int:
        return sum(self.of(names, often).values())

    def oldest(self, names: dict[int, int], often: bool) -> int:
        return min(self.of(names, often), key=lambda key: self.stamp[key])

    def touch(self, key: int, often: bool) -> None:
        self.stamp[key] = next(self.ticks)
        (self.often.add if often else self.often.discard)(key)

    def on_hit(self, request: Request) -> None:
        self.touch(request.key, often=True)

    def on_miss(self, request: Request) -> None:
        self.returning = None
        if request.key not in self.ghosts:
            return
        b1, b2 = self.used(self.ghosts, False), self.used(self.ghosts, True)
        if request.key in self.often:
            self.returning = "often"
            self.target = max(0.0, self.target - max(1.0, b1 / b2))
        else:
            self.returning = "once"
            self.target = min(float(self.limit), self.target + max(1.0, b2 / b1))
        del self.ghosts[request.key]

    def victim(self, request: Request) -> int:
        once, often = self.used(self.held, False), self.used(self.held, True)
        too_many = once > self.target or (once == self.target and self.returning == "often")
        key = self.oldest(self.held, often=not (often == 0 or (once > 0 and too_many)))
        self.ghosts[key] = self.held[key]
        self.stamp[key] = next(self.ticks)
        if self.returning is None:
            self.forget_for(request, once + often - self.held[key])
        return key

    def forget_for(self, request: Request, resident: int) -> None:
        """One name at most; whoever is evicted now is a ghost already, but still in `held`."""
        staying = {key: charge for key, charge in self.held.items() if key not in self.ghosts}
        half = self.used(staying, False) + self.used(self.ghosts, False)
        if half + request.charge > self.limit:
            half_of_doubt: bool | None = False
        else:
            half_of_doubt = True if resident + sum(self.ghosts.values()) >= 2 * self.limit else None
        if half_of_doubt is not None and self.of(self.ghosts, half_of_doubt):
            del self.ghosts[self.oldest(self.ghosts, half_of_doubt)]

    def on_admission(self, request: Request) -> None:
        self.touch(request.key, often=self.returning is not None)
        while sum(self.ghosts.values()) > 2 * self.limit:
            half = self.used(self.held, False) + self.used(self.ghosts, False)
            del self.ghosts[self.oldest(self.ghosts, often=half <= self.limit)]
