"""2Q and S3-FIFO: queues of names, and a ghost queue."""

from collections import OrderedDict

from tests.models.base import Model, Request


class WithGhost(Model):
    """Two queues of residents; the ghost queue holds key -> charge, oldest first, up to a limit."""

    def __init__(self, limit: int, requests: list[Request], ghost_limit: int) -> None:
        super().__init__(limit, requests)
        self.young: list[int] = []
        self.old: list[int] = []
        self.ghosts: OrderedDict[int, int] = OrderedDict()
        self.ghost_limit = max(1, ghost_limit)
        self.returning = False

    def used(self, queue: list[int]) -> int:
        return sum(self.held[key] for key in queue)

    def on_miss(self, request: Request) -> None:
        self.returning = self.ghosts.pop(request.key, None) is not None

    def on_removal(self, key: int) -> None:
        (self.young if key in self.young else self.old).remove(key)

    def haunt(self, key: int) -> None:
        if self.held[key] <= self.ghost_limit:
            self.ghosts[key] = self.held[key]
        while sum(self.ghosts.values()) > self.ghost_limit:
            self.ghosts.popitem(last=False)


class TwoQ(WithGhost):
    def __init__(self, limit: int, requests: list[Request], seed: int = 0) -> None:
        super().__init__(limit, requests, limit // 2)

    def on_hit(self, request: Request) -> None:
        if request.key in self.old:
            self.old.remove(request.key)
            self.old.append(request.key)

    def on_admission(self, request: Request) -> None:
        (self.old if self.returning else self.young).append(request.key)

    def victim(self, request: Request) -> int:
        if self.used(self.young) <= max(1, self.limit // 4) and self.old:
            return self.old.pop(0)
        key = self.young.pop(0)
        self.haunt(key)
        return key


class S3Fifo(WithGhost):
    def __init__(self, limit: int, requests: list[Request], seed: int = 0) -> None:
        super().__init__(limit, requests, limit * 9 // 10)
        self.small_limit = max(1, limit // 10)
        self.count: dict[int, int] = {}

    def on_hit(self, request: Request) -> None:
        self.count[request.key] = min(3, self.count[request.key] + 1)

    def on_admission(self, request: Request) -> None:
        self.count[request.key] = 0
        skip = self.evictions == 0 and self.used(self.young) >= self.small_limit
        (self.old if self.returning or skip else self.young).append(request.key)

    def victim(self, request: Request) -> int:
        while True:
            from_main = self.used(self.old) > self.limit - self.small_limit or not self.young
            key = self.oldest_of_main() if from_main else self.oldest_of_small()
            if key is not None:
                return key

    def oldest_of_main(self) -> int:
        while True:
            key = self.old.pop(0)
            if self.count[key] == 0:
                return key
            self.count[key] -= 1
            self.old.append(key)

    def oldest_of_small(self) -> int | None:
        while self.young:
            key = self.young.pop(0)
            if self.count[key] < 2:
                self.haunt(key)
                return key
            self.count[key] = 0
            self.old.append(key)
        return None
