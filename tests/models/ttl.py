"""Times to live: the residents, oldest renewal first, and when each expires."""

from tests.models.base import Model, Request


class Ttl(Model):
    def before(self, request: Request) -> None:
        for key in [key for key in self.held if self.expires_s[key] <= request.time_s]:
            self.expire(key)

    def victim(self, request: Request) -> int:
        return min(self.held, key=lambda key: self.expires_s[key])  # the first one of equals


class SlidingTtl(Ttl):
    def on_hit(self, request: Request) -> None:
        self.held[request.key] = self.held.pop(request.key)
        self.expires_s[request.key] = request.time_s + request.lifetime_s
