"""Sampled eviction: residents in a list, and candidates that are scored by a weighted sum of a few raw features."""

from cachesim.features.table import HIT_STEP

MASK = 2**64 - 1
Requests = list[tuple[int, int]]  # (key, size_bytes)


class SampledEviction:
    """The last resident takes the place of an evicted one."""

    def __init__(self, limit: int, candidates: int, state: int, weight: dict[str, float]) -> None:
        self.limit, self.candidates, self.state, self.weight = limit, candidates, state, weight
        self.residents: list[int] = []
        self.charge: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.admitted: dict[int, int] = {}
        self.size_bytes: dict[int, int] = {}  # at the latest request
        self.requested: dict[int, list[int]] = {}
        self.hit_ratio = 0.0
        self.admissions = self.evictions = self.rejections = 0

    def run(self, requests: Requests, in_bytes: bool) -> list[bool]:
        return [self.request(t, key, size, size if in_bytes else 1) for t, (key, size) in enumerate(requests)]

    def request(self, t: int, key: int, size_bytes: int, charge: int) -> bool:
        self.requested.setdefault(key, []).append(t)
        hit = key in self.residents
        if hit:
            self.last[key], self.size_bytes[key] = t, size_bytes
        elif charge > self.limit or not self.make_room(t, key, size_bytes, charge):
            self.rejections += 1
        else:
            self.residents.append(key)
            self.charge[key], self.size_bytes[key], self.last[key], self.admitted[key] = charge, size_bytes, t, t
            self.admissions += 1
        self.hit_ratio += HIT_STEP * (hit - self.hit_ratio)
        return hit

    def make_room(self, t: int, key: int, size_bytes: int, charge: int) -> bool:
        while sum(self.charge[r] for r in self.residents) + charge > self.limit:
            drawn = self.draw()
            scores = [self.score(t, candidate, key, size_bytes) for candidate in drawn]
            victim = drawn[scores.index(max(scores))]
            if victim is None:
                return False
            self.evictions += 1
            self.residents[victim] = self.residents[-1]
            self.residents.pop()
        return True

    def draw(self) -> list[int | None]:
        """None is the incoming object, a number the place of a resident."""
        n = len(self.residents)
        if n < self.candidates:
            return [None, *(j % n for j in range(self.candidates - 1))]
        return [None, *(self.random() % n for _ in range(self.candidates - 1))]

    def random(self) -> int:
        self.state ^= (self.state << 13) & MASK
        self.state ^= self.state >> 7
        self.state ^= (self.state << 17) & MASK
        return self.state >> 33

    def score(self, t: int, candidate: int | None, incoming: int, incoming_bytes: int) -> float:
        key = incoming if candidate is None else self.residents[candidate]
        size_bytes = incoming_bytes if candidate is None else self.size_bytes[key]
        requested = self.requested[key]
        known = {
            "age": 0 if candidate is None else t - self.last[key],
            "time_in_cache": 0 if candidate is None else t - self.admitted[key],
            "gap_1": requested[-1] - requested[-2] if len(requested) > 1 else -1,
            "size_bytes": size_bytes,
        }
        return 1000 + sum(weight * known[name] for name, weight in self.weight.items())
