"""Replays by name, and the golden counts."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cachesim.capacity import Capacity
from cachesim.replay import POLICIES, replay
from schemas.errors import ConfigError
from schemas.trace import Trace

GOLDEN = Path(__file__).parents[1] / "golden" / "hit_counts.json"
GOLDEN_TRACE = "cloudphysics_io"
GOLDEN_CAPACITIES = [Capacity(n, "objects") for n in (10, 100, 1_000, 10_000, 40_000)] + [
    Capacity(n, "bytes") for n in (2_000_000, 50_000_000, 1_000_000_000)
]
CAPACITIES = [Capacity(n, "objects") for n in (5, 50, 250)] + [Capacity(n, "bytes") for n in (2_000, 40_000)]


@pytest.fixture(scope="module")
def mixed_trace(make_trace: Callable[..., Trace]) -> Trace:
    """20,000 requests to 1,000 objects of skewed popularity, every tenth a scan over 2,000 more; 1 to 1,000 bytes."""
    draw = random.Random(2026)
    keys = [1_000 + i // 10 if i % 10 == 9 else int(1_000 * draw.random() ** 3) for i in range(20_000)]
    return make_trace(keys, [1 + key * key % 1_000 for key in keys])


@pytest.mark.parametrize("policy", POLICIES)
def test_hits_and_bytes_of_a_real_trace_equal_the_golden_counts(
    shared_trace: Callable[[str], Trace], policy: str
) -> None:
    """[hits, bytes hit] by capacity; a difference means that the policy decides otherwise than it did."""
    trace = shared_trace(GOLDEN_TRACE)
    hits = {f"{c.limit} {c.unit}": replay(trace, policy, c).hit for c in GOLDEN_CAPACITIES}
    counted = {name: [int(hit.sum()), int(trace.size_bytes[hit].sum())] for name, hit in hits.items()}
    assert counted == json.loads(GOLDEN.read_text())[policy]


def test_an_unknown_policy_is_refused_with_all_names(make_trace: Callable[..., Trace]) -> None:
    with pytest.raises(ConfigError, match=r"unknown policy s3fifo; known: 2q, .*, lru, .*, s3-fifo, "):
        replay(make_trace([0]), "s3fifo", Capacity(1, "objects"))


def test_the_eviction_age_counts_requests_since_the_last_one_of_the_victim(make_trace: Callable[..., Trace]) -> None:
    """LRU of 2: 0 1 0 then 2 evicts 1 after 2 requests, then 3 evicts 0 after 2."""
    outcome = replay(make_trace([0, 1, 0, 2, 3]), "lru", Capacity(2, "objects"))
    assert outcome.whole.evictions == 2
    assert outcome.whole.mean_eviction_age_requests == 2.0


def test_a_replay_of_a_slice_equals_a_replay_of_its_copy(mixed_trace: Trace, make_trace: Callable[..., Trace]) -> None:
    part = mixed_trace[3::2]
    copied = make_trace(part.key.tolist(), part.size_bytes.tolist())
    for policy in POLICIES:
        hit = replay(part, policy, CAPACITIES[1]).hit
        np.testing.assert_array_equal(hit, replay(copied, policy, CAPACITIES[1]).hit)


def test_a_resident_keeps_the_charge_it_was_admitted_with(make_trace: Callable[..., Trace]) -> None:
    """Object 0 enters with 4 bytes and is requested with 9: there is still room for the 6 bytes of object 1."""
    outcome = replay(make_trace([0, 0, 1, 0], [4, 9, 6, 9]), "lru", Capacity(10, "bytes"))
    assert outcome.hit.tolist() == [False, True, False, True]
    assert outcome.whole.resident_charge == 10


@pytest.mark.parametrize("ttl_s", [-1.0, float("nan"), np.array([1.0, -2.0])])
def test_a_time_to_live_below_zero_is_refused(make_trace: Callable[..., Trace], ttl_s: float) -> None:
    with pytest.raises(ConfigError, match="ttl_s: a time to live must be a number of seconds >= 0"):
        replay(make_trace([0, 1]), "lru", Capacity(1, "objects"), ttl_s=ttl_s)


def test_each_request_may_give_its_copy_another_life(make_trace: Callable[..., Trace]) -> None:
    """One request a second: object 0 lives for 2 s, object 1 for ever, object 2 is not stored."""
    trace = make_trace([0, 1, 2, 0, 1, 2, 0])
    lives_s = np.array([2, np.inf, 0, 2, np.inf, 0, 2])
    outcome = replay(trace, "lru", Capacity(5, "objects"), ttl_s=lives_s)
    assert outcome.hit.tolist() == [False, False, False, False, True, False, False]
    assert (outcome.whole.expiries, outcome.whole.rejections) == (2, 2)


def test_the_activity_of_two_spans_adds_up(mixed_trace: Trace) -> None:
    outcome = replay(mixed_trace, "lru", CAPACITIES[1], marks=[7_000])
    first, second = outcome.between(0, 7_000), outcome.between(7_000, len(mixed_trace))
    assert first.evictions + second.evictions == outcome.whole.evictions
    assert first.admissions == (~outcome.hit[:7_000]).sum()
    assert first.occupancy == second.occupancy == 1.0
