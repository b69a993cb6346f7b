"""Segmented LRU with a list for each of the four segments."""

from tests.models.base import Model, Request


class Slru(Model):
    def __init__(self, limit: int, requests: list[Request], seed: int = 0) -> None:
        super().__init__(limit, requests, seed)
        self.segments: list[list[int]] = [[], [], [], []]

    def fits(self, segment: list[int], more: int = 0) -> bool:
        return sum(self.held[key] for key in segment) + more <= self.limit // 4

    def level(self, key: int) -> int:
        return next(level for level in range(4) if key in self.segments[level])

    def on_hit(self, request: Request) -> None:
        key = request.key
        level = self.level(key)
        self.segments[level].remove(key)
        if self.held[key] <= self.limit // 4:
            level = min(level + 1, 3)
        self.segments[level].append(key)
        for upper in range(level, 0, -1):
            while not self.fits(self.segments[upper]):
                self.sink(upper)

    def sink(self, level: int) -> None:
        self.segments[level - 1].append(self.segments[level].pop(0))
        while level == 1 and not self.fits(self.segments[0]):
            self.held.pop(self.segments[0].pop(0))
            self.evictions += 1

    def on_admission(self, request: Request) -> None:
        self.held.pop(request.key)
        open_ = [s for s in self.segments if self.fits(s, request.charge)] or self.segments
        open_[0].append(request.key)
        self.held[request.key] = request.charge

    def on_removal(self, key: int) -> None:
        self.segments[self.level(key)].remove(key)

    def victim(self, request: Request) -> int:
        return next(segment for segment in self.segments if segment).pop(0)
