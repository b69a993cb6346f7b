"""Hit ratios of the shared traces equal those that libCacheSim computed."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.peer import OURS_AS_PEERS, PEERS
from cachesim.analysis.bounds import pfoo_ratio
from cachesim.analysis.metrics import score
from cachesim.capacity import Capacity
from cachesim.replay import replay
from schemas.trace import Trace

NAMES = {**PEERS, "min-bypass": "MIN_bypass"}
TRACES = ("cloudphysics_io", "lirs_multi3", "orm_busy", "w106_block", "web12")
ROUNDING, NEAR = 1e-6, 0.005  # the reference has six decimals
EXACT = ("lru", "fifo", "clock", "lfu", "sieve", "s3-fifo", "2q", "slru", "belady", "min-bypass")
# Cells (trace, capacity) that differ by more, and by how much at most; docs/decisions/0006 says why.
EXCEPTIONS = {
    "random": {
        ("lirs_multi3", 745): 0.014,
        ("orm_busy", 44): 0.013,
        ("w106_block", 392): 0.009,
        ("web12", 138): 0.007,
        ("web12", 1376): 0.008,
    },
    "w-tinylfu": {("orm_busy", 44): 0.022, ("orm_busy", 442): 0.007, ("cloudphysics_io", 49): 0.008},
}
FEWEST_OBJECTS = {"s3-fifo": 20}  # the reference has other parameters below


@pytest.fixture(scope="session")
def reference(traces_dir: Path) -> pd.DataFrame:
    return pd.read_csv(traces_dir / "reference_hit_ratios.csv")


def cells(reference: pd.DataFrame, name: str, policy: str) -> pd.DataFrame:
    chosen = reference[(reference.trace == name) & (reference.policy == NAMES[policy])]
    return chosen[chosen.capacity >= FEWEST_OBJECTS.get(policy, 1)]


def span_of(trace: Trace, name: str) -> slice:
    return slice(0 if name == "full" else int(0.6 * len(trace)), len(trace))


@pytest.mark.parametrize("policy", NAMES)
@pytest.mark.parametrize("name", TRACES)
def test_hit_ratios_equal_the_reference(
    reference: pd.DataFrame, shared_trace: Callable[[str], Trace], name: str, policy: str
) -> None:
    """At 0.1 %, 1 % and 10 % of the keys, and where there are sizes 1 % and 10 % of the bytes too."""
    trace, rows = shared_trace(name), cells(reference, name, policy)
    assert len(rows) >= 4  # two spans of two capacities at the least
    for (kind, limit), group in rows.groupby(["capacity_kind", "capacity"]):
        capacity = Capacity(int(limit), "objects" if kind.startswith("obj_") else "bytes")
        hit = replay(trace, policy, capacity, **OURS_AS_PEERS.get(policy, {})).hit
        tolerance = ROUNDING if policy in EXACT else EXCEPTIONS.get(policy, {}).get((name, int(limit)), NEAR)
        for row in group.itertuples():
            judged = score(trace, hit, span_of(trace, row.span))
            assert judged.hit_ratio == pytest.approx(row.request_hit_ratio, abs=tolerance), (limit, row.span)
            if capacity.unit == "bytes" and policy in EXACT:
                assert judged.byte_hit_ratio == pytest.approx(row.byte_hit_ratio, abs=tolerance), (limit, row.span)


def test_the_bound_for_bytes_equals_the_reference(
    reference: pd.DataFrame, shared_trace: Callable[[str], Trace]
) -> None:
    trace = shared_trace("cloudphysics_io")
    rows = reference[reference.policy == "PFOO_bound"]
    assert len(rows) == 4
    for row in rows.itertuples():
        capacity, span = Capacity(int(row.capacity), "bytes"), span_of(trace, row.span)
        sizes = trace.size_bytes.astype(float)
        assert pfoo_ratio(trace, capacity, span=span) == pytest.approx(row.request_hit_ratio, abs=ROUNDING)
        assert pfoo_ratio(trace, capacity, sizes, span) == pytest.approx(row.byte_hit_ratio, abs=ROUNDING)


@pytest.mark.parametrize("name", TRACES)
def test_a_fraction_of_the_keys_is_the_capacity_of_the_reference(
    reference: pd.DataFrame, shared_trace: Callable[[str], Trace], name: str
) -> None:
    rows = reference[(reference.trace == name) & reference.capacity_kind.str.startswith("obj_")]
    for kind, objects in rows[["capacity_kind", "capacity"]].drop_duplicates().itertuples(index=False):
        capacity = Capacity.resolve(shared_trace(name), fraction=float(kind.removeprefix("obj_")))
        assert capacity == Capacity(objects, "objects")
