"""Hit ratios of the shared traces equal those that libCacheSim computed."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cachesim.capacity import Capacity
from cachesim.metrics import score
from cachesim.replay import replay
from schemas.trace import Trace

NAMES = {"lru": "LRU", "fifo": "FIFO", "lfu": "LFU", "s3-fifo": "S3FIFO", "2q": "TwoQ", "belady": "Belady"}
TRACES = ("cloudphysics_io", "lirs_multi3", "orm_busy", "w106_block", "web12")
ROUNDING = 1e-6  # the reference has six decimals
FEWEST_S3_FIFO_OBJECTS = 20  # libCacheSim's small queue is empty below: the reference there has other parameters


@pytest.fixture(scope="session")
def reference(traces_dir: Path) -> pd.DataFrame:
    return pd.read_csv(traces_dir / "reference_hit_ratios.csv")


def cells(reference: pd.DataFrame, name: str, policy: str, kind: str) -> pd.DataFrame:
    chosen = reference[(reference.trace == name) & (reference.policy == NAMES[policy])]
    chosen = chosen[chosen.capacity_kind.str.startswith(kind)]
    return chosen if policy != "s3-fifo" else chosen[chosen.capacity >= FEWEST_S3_FIFO_OBJECTS]


def span_of(trace: Trace, name: str) -> slice:
    return slice(0 if name == "full" else int(0.6 * len(trace)), len(trace))


@pytest.mark.parametrize("policy", NAMES)
@pytest.mark.parametrize("name", TRACES)
def test_hit_ratios_equal_the_reference_with_objects(
    reference: pd.DataFrame, shared_trace: Callable[[str], Trace], name: str, policy: str
) -> None:
    trace, rows = shared_trace(name), cells(reference, name, policy, "obj_")
    assert len(rows) >= 4  # two spans of two capacities at the least
    for objects, group in rows.groupby("capacity"):
        hit = replay(trace, policy, Capacity(int(str(objects)), "objects")).hit
        for row in group.itertuples():
            ratio = score(trace, hit, span_of(trace, row.span)).hit_ratio
            assert ratio == pytest.approx(row.request_hit_ratio, abs=ROUNDING), (objects, row.span)


@pytest.mark.parametrize("policy", NAMES)
def test_hit_ratios_equal_the_reference_with_bytes(
    reference: pd.DataFrame, shared_trace: Callable[[str], Trace], policy: str
) -> None:
    trace, rows = shared_trace("cloudphysics_io"), cells(reference, "cloudphysics_io", policy, "bytes_")
    assert len(rows) == 4  # two spans of two capacities
    for limit_bytes, group in rows.groupby("capacity"):
        hit = replay(trace, policy, Capacity(int(str(limit_bytes)), "bytes")).hit
        for row in group.itertuples():
            judged = score(trace, hit, span_of(trace, row.span))
            assert judged.hit_ratio == pytest.approx(row.request_hit_ratio, abs=ROUNDING), (limit_bytes, row.span)
            assert judged.byte_hit_ratio == pytest.approx(row.byte_hit_ratio, abs=ROUNDING), (limit_bytes, row.span)


@pytest.mark.parametrize("name", TRACES)
def test_a_fraction_of_the_keys_is_the_capacity_of_the_reference(
    reference: pd.DataFrame, shared_trace: Callable[[str], Trace], name: str
) -> None:
    rows = reference[(reference.trace == name) & reference.capacity_kind.str.startswith("obj_")]
    for kind, objects in rows[["capacity_kind", "capacity"]].drop_duplicates().itertuples(index=False):
        capacity = Capacity.resolve(shared_trace(name), fraction=float(kind.removeprefix("obj_")))
        assert capacity == Capacity(objects, "objects")
