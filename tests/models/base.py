"""A cache written plainly: a dictionary of residents, and a policy that says whom to evict."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """One request, as a model reads it."""

    key: int
    charge: int = 1
    time_s: float = 0.0
    lifetime_s: float = math.inf
    load_time_ms: float = math.nan


class Model:
    """A cache of at most `limit`, holding key -> charge; a policy says whom to evict and what it keeps in mind.

    Attributes:
        held: the residents and their charges, in order of admission.
        expires_s: when each resident expires.
        last: index of the latest request of each key.
        now: index of the current request.
    """

    def __init__(self, limit: int, requests: list[Request], seed: int = 0) -> None:
        self.limit, self.requests, self.seed = limit, requests, seed
        self.held: dict[int, int] = {}
        self.expires_s: dict[int, float] = {}
        self.last: dict[int, int] = {}
        self.now = -1
        self.admissions = self.evictions = self.rejections = self.expiries = 0

    def run(self) -> list[bool]:
        """Serve all requests; return which ones hit."""
        return [self.serve(request) for request in self.requests]

    def serve(self, request: Request) -> bool:
        self.now += 1
        self.before(request)
        key = request.key
        if key in self.held and request.time_s >= self.expires_s[key]:
            self.expire(key)
        hit = key in self.held
        if hit:
            self.on_hit(request)
        else:
            self.on_miss(request)
            if request.charge <= self.limit and request.lifetime_s > 0 and self.makes_room(request):
                self.held[key] = request.charge
                self.expires_s[key] = request.time_s + request.lifetime_s
                self.admissions += 1
                self.on_admission(request)
            else:
                self.rejections += 1
        self.last[key] = self.now
        return hit

    def makes_room(self, request: Request) -> bool:
        """Evict until the request's object fits; False when the policy refuses it."""
        while sum(self.held.values()) + request.charge > self.limit:
            victim = self.victim(request)
            self.evictions += 1
            self.held.pop(victim)
        return True

    def expire(self, key: int) -> None:
        self.expiries += 1
        self.on_removal(key)
        self.held.pop(key)

    def before(self, request: Request) -> None:
        """Called first at every request."""

    def on_hit(self, request: Request) -> None: ...

    def on_miss(self, request: Request) -> None:
        """Called at every miss, before room is made."""

    def on_admission(self, request: Request) -> None: ...

    def on_removal(self, key: int) -> None:
        """Called when a resident leaves that the policy did not evict; it is still in `held`."""

    def victim(self, request: Request) -> int:
        """Return the resident to evict for `request`; it is still in `held`."""
        return next(iter(self.held))
