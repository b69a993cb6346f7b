"""Our policies against libCacheSim's, run side by side: on made-up traffic, and on a real trace where there is one."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peer import OURS_AS_PEERS, PEERS, hit_ratios, write_oracle_general
from cachesim.analysis.metrics import score
from cachesim.capacity import Capacity
from cachesim.replay import replay
from cachesim.traffic.energy import energy_trace
from schemas.trace import Trace
from tests.support.peer import needs_peer

EXACT = ("lru", "fifo", "clock", "sieve", "slru", "2q", "s3-fifo", "lfu", "w-tinylfu", "belady")
EXACT_IN_BYTES = tuple(policy for policy in EXACT if policy != "w-tinylfu")  # docs/decisions/0006
ROUNDING, NEAR, RANDOM = 1e-9, 0.005, 0.012  # theirs draws a hash bucket first, so not every object is as likely
MADE_UP, REAL = "made-up", "web12"
pytestmark = needs_peer
OBJECTS = {MADE_UP: (100, 800, 3_001), REAL: (100, 800, 4_001)}
BYTES = (3_000_000, 30_000_000)


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A trace, with its files for libCacheSim by unit of capacity."""

    trace: Trace
    files: dict[str, Path]


@pytest.fixture(scope="module")
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """The trace that the parameter names."""
    trace = made_up() if request.param == MADE_UP else request.getfixturevalue("shared_trace")(request.param)
    folder = tmp_path_factory.mktemp("peer")
    files = {unit: folder / unit for unit in ("objects", "bytes")}
    for unit, path in files.items():
        write_oracle_general(trace, path, unit)
    return Recorded(trace, files)


def made_up() -> Trace:
    """40,000 requests to the energy data API, as libCacheSim knows them: one size an object, and no load times."""
    trace = energy_trace(40_000, seed=7)
    first = np.unique(trace.key, return_index=True)[1]
    unknown = np.full(len(trace), np.nan, np.float32)
    return dataclasses.replace(trace, size_bytes=trace.size_bytes[first][trace.key], load_time_ms=unknown)


def assert_alike(recorded: Recorded, policy: str, capacity: Capacity, tolerance: float) -> None:
    """Hit ratio and byte hit ratio of all requests, and of the last 40 % with a warm cache."""
    trace, warm_up = recorded.trace, int(0.6 * len(recorded.trace))
    hit = replay(trace, policy, capacity, **OURS_AS_PEERS.get(policy, {})).hit
    theirs = hit_ratios(recorded.files[capacity.unit], policy, capacity, warm_up)
    for span, their_hits, their_bytes in ((slice(None), *theirs[:2]), (slice(warm_up, None), *theirs[2:])):
        ours = score(trace, hit, span)
        assert ours.hit_ratio == pytest.approx(their_hits, abs=tolerance)
        if capacity.unit == "bytes":
            assert ours.byte_hit_ratio == pytest.approx(their_bytes, abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("policy", PEERS)
@pytest.mark.parametrize(
    ("recorded", "objects"), [(name, n) for name in OBJECTS for n in OBJECTS[name]], indirect=["recorded"]
)
def test_hit_ratios_are_those_of_libcachesim(recorded: Recorded, policy: str, objects: int) -> None:
    tolerance = ROUNDING if policy in EXACT else RANDOM if policy == "random" else NEAR
    assert_alike(recorded, policy, Capacity(objects, "objects"), tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("policy", EXACT_IN_BYTES)
@pytest.mark.parametrize("limit", BYTES)
@pytest.mark.parametrize("recorded", [MADE_UP], indirect=True)
def test_hit_ratios_of_a_capacity_in_bytes_are_those_of_libcachesim(
    recorded: Recorded, policy: str, limit: int
) -> None:
    assert_alike(recorded, policy, Capacity(limit, "bytes"), ROUNDING)
