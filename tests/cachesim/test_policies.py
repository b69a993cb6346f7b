"""Each compiled policy against a model of it written independently with plain dictionaries."""

import random
from collections import OrderedDict
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.capacity import Capacity
from cachesim.replay import POLICIES, replay
from schemas.trace import Trace

Requests = list[tuple[int, int]]  # (key, charge)


class Model:
    """A cache of at most `limit`, holding key -> charge; a policy says whom to evict and what it keeps in mind."""

    def __init__(self, limit: int, requests: Requests) -> None:
        self.limit, self.requests = limit, requests
        self.held: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.now = -1

    def run(self) -> list[bool]:
        return [self.request(key, charge) for key, charge in self.requests]

    def request(self, key: int, charge: int) -> bool:
        self.now += 1
        hit = key in self.held
        if hit:
            self.on_hit(key)
        else:
            self.on_miss(key)
            if charge <= self.limit:
                while sum(self.held.values()) + charge > self.limit:
                    self.held.pop(self.victim())
                self.held[key] = charge
                self.on_admission(key)
        self.last[key] = self.now
        return hit

    def on_hit(self, key: int) -> None: ...

    def on_miss(self, key: int) -> None: ...

    def on_admission(self, key: int) -> None: ...

    def victim(self) -> int:
        return next(iter(self.held))


class Fifo(Model):
    """Dictionaries keep the order of insertion."""


class Lru(Model):
    def on_hit(self, key: int) -> None:
        self.held[key] = self.held.pop(key)


class Lfu(Model):
    def __init__(self, limit: int, requests: Requests) -> None:
        super().__init__(limit, requests)
        self.count: dict[int, int] = {}

    def on_hit(self, key: int) -> None:
        self.count[key] += 1

    def on_admission(self, key: int) -> None:
        self.count[key] = 1

    def victim(self) -> int:
        return min(self.held, key=lambda key: (self.count[key], self.last[key]))


class Belady(Model):
    def victim(self) -> int:
        def eagerness(key: int) -> tuple[float, int]:
            later = (i for i in range(self.now + 1, len(self.requests)) if self.requests[i][0] == key)
            return (next(later, float("inf")), -self.last[key])

        return max(self.held, key=eagerness)


class WithGhost(Model):
    """Queues of names; the ghost queue holds key -> charge, oldest first, up to a limit."""

    def __init__(self, limit: int, requests: Requests, ghost_limit: int) -> None:
        super().__init__(limit, requests)
        self.young: list[int] = []
        self.old: list[int] = []
        self.ghosts: OrderedDict[int, int] = OrderedDict()
        self.ghost_limit = max(1, ghost_limit)
        self.returning = False

    def used(self, queue: list[int]) -> int:
        return sum(self.held[key] for key in queue)

    def on_miss(self, key: int) -> None:
        self.returning = self.ghosts.pop(key, None) is not None

    def haunt(self, key: int) -> None:
        if self.held[key] <= self.ghost_limit:
            self.ghosts[key] = self.held[key]
        while sum(self.ghosts.values()) > self.ghost_limit:
            self.ghosts.popitem(last=False)


class TwoQ(WithGhost):
    def __init__(self, limit: int, requests: Requests) -> None:
        super().__init__(limit, requests, limit // 2)

    def on_hit(self, key: int) -> None:
        if key in self.old:
            self.old.remove(key)
            self.old.append(key)

    def on_admission(self, key: int) -> None:
        (self.old if self.returning else self.young).append(key)

    def victim(self) -> int:
        if self.used(self.young) <= max(1, self.limit // 4) and self.old:
            return self.old.pop(0)
        key = self.young.pop(0)
        self.haunt(key)
        return key


class S3Fifo(WithGhost):
    def __init__(self, limit: int, requests: Requests) -> None:
        super().__init__(limit, requests, limit * 9 // 10)
        self.small_limit = max(1, limit // 10)
        self.count: dict[int, int] = {}
        self.evicting = False

    def on_hit(self, key: int) -> None:
        self.count[key] = min(3, self.count[key] + 1)

    def on_admission(self, key: int) -> None:
        self.count[key] = 0
        skip = not self.evicting and self.used(self.young) >= self.small_limit
        (self.old if self.returning or skip else self.young).append(key)

    def victim(self) -> int:
        self.evicting = True
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


MODELS: dict[str, type] = {
    "lru": Lru,
    "fifo": Fifo,
    "lfu": Lfu,
    "s3-fifo": S3Fifo,
    "2q": TwoQ,
    "belady": Belady,
}
keys = st.lists(st.integers(0, 14), min_size=1, max_size=150)


def test_every_policy_has_a_model() -> None:
    assert set(MODELS) == set(POLICIES)


@pytest.mark.parametrize("policy", POLICIES)
@given(keys=keys, limit=st.integers(1, 16))
def test_a_policy_equals_its_model_with_objects(
    policy: str, make_trace: Callable[..., Trace], keys: list[int], limit: int
) -> None:
    outcome = replay(make_trace(keys), policy, Capacity(limit, "objects"))
    assert outcome.hit.tolist() == MODELS[policy](limit, [(key, 1) for key in keys]).run()


@pytest.mark.parametrize("policy", POLICIES)
@given(requests=st.lists(st.tuples(st.integers(0, 14), st.integers(1, 8)), min_size=1, max_size=150), data=st.data())
def test_a_policy_equals_its_model_with_bytes_and_changing_sizes(
    policy: str, make_trace: Callable[..., Trace], requests: Requests, data: st.DataObject
) -> None:
    limit = data.draw(st.integers(1, 60))
    keys, sizes_bytes = zip(*requests, strict=True)
    model = MODELS[policy](limit, requests)
    outcome = replay(make_trace(keys, sizes_bytes), policy, Capacity(limit, "bytes"))
    assert outcome.hit.tolist() == model.run()
    assert outcome.resident_charge == sum(model.held.values())
    assert outcome.resident_objects == len(model.held)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("limit", [4, 10, 30])
def test_a_policy_equals_its_model_on_skewed_requests(
    policy: str, make_trace: Callable[..., Trace], limit: int
) -> None:
    """Long enough to fill main queues and to use counters to their ends."""
    draw = random.Random(limit)
    keys = [int(60 * draw.random() ** 3 + i // 200) for i in range(2_000)]
    outcome = replay(make_trace(keys), policy, Capacity(limit, "objects"))
    assert outcome.hit.tolist() == MODELS[policy](limit, [(key, 1) for key in keys]).run()
