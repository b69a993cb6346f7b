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
CAPACITIES = [Capacity(n, "objects") for n in (5, 50, 250)] + [Capacity(n, "bytes") for n in (2_000, 40_000)]


@pytest.fixture(scope="module")
def golden_trace(make_trace: Callable[..., Trace]) -> Trace:
    """20,000 requests to 1,000 objects of skewed popularity, every tenth a scan over 2,000 more; 1 to 1,000 bytes."""
    draw = random.Random(2026)
    keys = [1_000 + i // 10 if i % 10 == 9 else int(1_000 * draw.random() ** 3) for i in range(20_000)]
    return make_trace(keys, [1 + key * key % 1_000 for key in keys])


def test_hits_and_bytes_equal_the_golden_counts(golden_trace: Trace) -> None:
    """[hits, bytes hit] by policy and capacity; a difference means that a policy decides otherwise than it did."""
    counted = {}
    for policy in POLICIES:
        hits = {f"{c.limit} {c.unit}": replay(golden_trace, policy, c).hit for c in CAPACITIES}
        counted[policy] = {
            name: [int(hit.sum()), int(golden_trace.size_bytes[hit].sum())] for name, hit in hits.items()
        }
    assert counted == json.loads(GOLDEN.read_text())


def test_an_unknown_policy_is_refused_with_the_nearest_name(make_trace: Callable[..., Trace]) -> None:
    with pytest.raises(ConfigError, match="unknown policy s3fifo; did you mean s3-fifo"):
        replay(make_trace([0]), "s3fifo", Capacity(1, "objects"))


def test_an_unknown_policy_is_refused_with_all_names(make_trace: Callable[..., Trace]) -> None:
    with pytest.raises(ConfigError, match="known: 2q, belady, fifo, lfu, lru, s3-fifo"):
        replay(make_trace([0]), "xyz", Capacity(1, "objects"))


def test_the_eviction_age_counts_requests_since_the_last_one_of_the_victim(make_trace: Callable[..., Trace]) -> None:
    """LRU of 2: 0 1 0 then 2 evicts 1 after 2 requests, then 3 evicts 0 after 2."""
    outcome = replay(make_trace([0, 1, 0, 2, 3]), "lru", Capacity(2, "objects"))
    assert outcome.evictions == 2
    assert outcome.mean_eviction_age_requests == 2.0


def test_a_replay_of_a_slice_equals_a_replay_of_its_copy(golden_trace: Trace, make_trace: Callable[..., Trace]) -> None:
    part = golden_trace[3::2]
    copied = make_trace(part.key.tolist(), part.size_bytes.tolist())
    for policy in POLICIES:
        hit = replay(part, policy, CAPACITIES[1]).hit
        np.testing.assert_array_equal(hit, replay(copied, policy, CAPACITIES[1]).hit)


def test_a_resident_keeps_the_charge_it_was_admitted_with(make_trace: Callable[..., Trace]) -> None:
    """Object 0 enters with 4 bytes and is requested with 9: there is still room for the 6 bytes of object 1."""
    outcome = replay(make_trace([0, 0, 1, 0], [4, 9, 6, 9]), "lru", Capacity(10, "bytes"))
    assert outcome.hit.tolist() == [False, True, False, True]
    assert outcome.resident_charge == 10
