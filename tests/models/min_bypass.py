"""MIN with bypass: the incoming object is one of those among whom the farthest next request is looked for."""

import math

from tests.models.base import Request
from tests.models.recency import Belady


class MinBypass(Belady):
    def makes_room(self, request: Request) -> bool:
        while sum(self.held.values()) + request.charge > self.limit:
            incoming = self.following(request.key)
            if incoming == math.inf or incoming > max(map(self.following, self.held)):
                return False
            self.held.pop(self.victim(request))
            self.evictions += 1
        return True

    def following(self, key: int) -> float:
        upcoming = [request.key for request in self.requests[self.now + 1 :]]
        return upcoming.index(key) if key in upcoming else math.inf
