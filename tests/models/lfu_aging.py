"""LFU with dynamic aging: a dictionary of priorities."""

from tests.models.base import Model, Request


class LfuAging(Model):
    def __init__(self, limit: int, requests: list[Request], seed: int = 0) -> None:
        super().__init__(limit, requests, seed)
        self.age = 0
        self.requests_since: dict[int, list[int]] = {}
        self.priority: dict[int, int] = {}

    def on_hit(self, request: Request) -> None:
        self.requests_since[request.key].append(self.now)
        self.priority[request.key] = len(self.requests_since[request.key]) + self.age

    def on_admission(self, request: Request) -> None:
        self.requests_since[request.key] = []
        self.on_hit(request)

    def victim(self, request: Request) -> int:
        key = sorted(self.held, key=lambda key: (self.priority[key], self.last[key]))[0]
        self.age = self.priority[key]
        return key
