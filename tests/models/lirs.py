"""LIRS: the stack as a list of names, oldest first, and what each name is in a dictionary."""

from tests.models.base import Model, Request


class Lirs(Model):
    def __init__(self, limit: int, requests: list[Request], seed: int = 0) -> None:
        super().__init__(limit, requests, seed)
        self.low_limit = limit - max(1, limit // 100)
        self.stack: list[int] = []
        self.low: dict[int, int] = {}
        self.high: list[int] = []
        self.ghosts: dict[int, int] = {}
        self.low_for_newcomer: bool | None = None

    def climb(self, key: int) -> None:
        if key in self.stack:
            self.stack.remove(key)
        self.stack.append(key)

    def tidy(self) -> None:
        """Nothing lies below the lowest low object; the stack stands for two capacities at most."""
        lowest = next((at for at, key in enumerate(self.stack) if key in self.low), len(self.stack))
        for key in self.stack[:lowest]:
            self.ghosts.pop(key, None)
        del self.stack[:lowest]

    def bound(self) -> None:
        while self.ghosts and sum((self.held | self.ghosts)[key] for key in self.stack) > 2 * self.limit:
            key = next(iter(self.ghosts))
            del self.ghosts[key]
            self.stack.remove(key)

    def demote(self) -> None:
        key = self.stack.pop(0)
        del self.low[key]
        self.high.append(key)
        self.tidy()

    def can_be_low(self, charge: int) -> bool:
        if charge > self.low_limit:
            return False
        while sum(self.low.values()) + charge > self.low_limit:
            self.demote()
        return True

    def on_hit(self, request: Request) -> None:
        key, charge = request.key, self.held[request.key]
        if key in self.high:
            promoted = key in self.stack and self.can_be_low(charge)
            self.high.remove(key)
            if promoted:
                self.low[key] = charge
            else:
                self.high.append(key)
        self.climb(key)
        self.tidy()
        self.bound()

    def makes_room(self, request: Request) -> bool:
        if self.ghosts.pop(request.key, None) is not None:
            self.stack.remove(request.key)
            self.low_for_newcomer = self.can_be_low(request.charge)
        else:
            self.low_for_newcomer = sum(self.low.values()) + request.charge <= self.low_limit
        return super().makes_room(request)

    def victim(self, request: Request) -> int:
        if not self.high:
            self.demote()
        key = self.high.pop(0)
        if key in self.stack:
            self.ghosts[key] = self.held[key]
        return key

    def on_admission(self, request: Request) -> None:
        if self.low_for_newcomer:
            self.low[request.key] = request.charge
        else:
            self.high.append(request.key)
        self.climb(request.key)
        self.tidy()
        self.bound()

    def on_removal(self, key: int) -> None:
        if key in self.stack:
            self.stack.remove(key)
        if self.low.pop(key, None) is None:
            self.high.remove(key)
        self.tidy()
