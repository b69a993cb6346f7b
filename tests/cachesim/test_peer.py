"""Our policies against libCacheSim's, run side by side on a real trace."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.peer import OURS_AS_PEERS, PEERS, hit_ratios, write_oracle_general
from cachesim.capacity import Capacity
from cachesim.replay import replay
from schemas.trace import Trace

EXACT = ("lru", "fifo", "clock", "sieve", "slru", "2q", "s3-fifo", "lfu", "w-tinylfu", "belady")
ROUNDING, NEAR, RANDOM = 1e-9, 0.005, 0.012  # theirs draws a hash bucket first, so not every object is as likely
CAPACITIES = (100, 800, 4_001)
TRACE = "web12"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trace_file(shared_trace: Callable[[str], Trace], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("peer") / TRACE
    write_oracle_general(shared_trace(TRACE), path)
    return path


@pytest.mark.parametrize("policy", PEERS)
@pytest.mark.parametrize("objects", CAPACITIES)
def test_hit_ratios_are_those_of_libcachesim(
    shared_trace: Callable[[str], Trace], trace_file: Path, policy: str, objects: int
) -> None:
    """Of all requests, and of the last 40 % with a warm cache."""
    trace, capacity = shared_trace(TRACE), Capacity(objects, "objects")
    warm_up = int(0.6 * len(trace))
    hit = replay(trace, policy, capacity, **OURS_AS_PEERS.get(policy, {})).hit
    whole, later = hit_ratios(trace_file, policy, capacity, warm_up)
    tolerance = ROUNDING if policy in EXACT else RANDOM if policy == "random" else NEAR
    assert hit.mean() == pytest.approx(whole, abs=tolerance)
    assert hit[warm_up:].mean() == pytest.approx(later, abs=tolerance)
