"""LRU curves equal a list that is searched, replays at each capacity, and the reference."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.analysis.lru_curve import lru_curve
from cachesim.analysis.metrics import score
from cachesim.capacity import Capacity
from cachesim.replay import replay
from cachesim.requests import CHUNK
from schemas.errors import ConfigError, TraceError
from schemas.trace import Trace

Build = Callable[..., Trace]
TRACES = ("cloudphysics_io", "lirs_multi3", "orm_busy", "w106_block", "web12")
ROUNDING = 1e-6  # the reference has six decimals

keys = st.lists(st.integers(0, 8), min_size=1, max_size=300)  # long enough that moments are numbered anew
sizes = st.lists(st.integers(1, 20), min_size=9, max_size=9)


def listed_distances(requested: list[int], charges: list[int]) -> list[int]:
    """Stack distances by a plain list, the newest object first; 0 for a first request."""
    stack: list[tuple[int, int]] = []
    distances = []
    for key, charge in zip(requested, charges, strict=True):
        place = next((i for i, (other, _) in enumerate(stack) if other == key), None)
        distances.append(0 if place is None else sum(size for _, size in stack[: place + 1]))
        if place is not None:
            stack.pop(place)
        stack.insert(0, (key, charge))
    return distances


@given(keys=keys, varying=st.data(), share=st.floats(0, 0.99))
@pytest.mark.parametrize("unit", ["objects", "bytes"])
def test_ratios_equal_those_of_a_list_also_when_sizes_change(
    make_trace: Build, unit: str, keys: list[int], varying: st.DataObject, share: float
) -> None:
    size_bytes = varying.draw(st.lists(st.integers(1, 20), min_size=len(keys), max_size=len(keys)))
    start = int(share * len(keys))
    charges = size_bytes if unit == "bytes" else [1] * len(keys)
    distance = np.array(listed_distances(keys, charges))[start:]
    judged = np.array(size_bytes)[start:]
    capacities = np.arange(1, sum(charges) + 2)
    hits = (distance > 0) & (distance <= capacities[:, None])
    curve = lru_curve(make_trace(keys, size_bytes), unit, start)  # type: ignore[arg-type]
    np.testing.assert_array_equal(curve.hit_ratio_at(capacities), hits.mean(axis=1))
    np.testing.assert_allclose(curve.byte_hit_ratio_at(capacities), hits @ judged / judged.sum(), rtol=1e-12)


@given(keys=keys, share=st.floats(0, 0.99))
def test_every_capacity_in_objects_equals_a_replay(make_trace: Build, keys: list[int], share: float) -> None:
    trace, start = make_trace(keys), int(share * len(keys))
    curve = lru_curve(trace, "objects", start)
    for objects in range(1, 11):
        hit = replay(trace, "lru", Capacity(objects, "objects")).hit[start:]
        assert curve.hit_ratio_at([objects])[0] == hit.mean()


@given(keys=keys, sizes=sizes, more=st.integers(0, 60))
def test_capacities_in_bytes_from_the_largest_object_on_equal_a_replay(
    make_trace: Build, keys: list[int], sizes: list[int], more: int
) -> None:
    trace = make_trace(keys, [sizes[key] for key in keys])
    capacity = Capacity(int(trace.size_bytes.max()) + more, "bytes")
    judged = score(trace, replay(trace, "lru", capacity).hit, slice(None))
    curve = lru_curve(trace, "bytes")
    assert curve.hit_ratio_at([capacity.limit])[0] == judged.hit_ratio
    assert curve.byte_hit_ratio_at([capacity.limit])[0] == pytest.approx(judged.byte_hit_ratio, rel=1e-12)


@given(keys=keys)
def test_a_larger_cache_never_hits_less_and_the_largest_misses_first_requests_only(
    make_trace: Build, keys: list[int]
) -> None:
    curve = lru_curve(make_trace(keys))
    ratios = curve.hit_ratio_at(np.arange(1, 12))
    assert (np.diff(ratios) >= 0).all()
    assert ratios[-1] == (len(keys) - len(set(keys))) / len(keys)
    assert (curve.requests, curve.rate, curve.sampled_keys) == (len(keys), 1.0, len(set(keys)))


def test_the_ends_of_spans_change_nothing(make_trace: Build) -> None:
    """A span is CHUNK requests long, or as long as there are keys."""
    rng = np.random.default_rng(5)
    for n_keys in (500, CHUNK + 9):
        trace = make_trace((n_keys * rng.random(2 * CHUNK + 77) ** 4).astype(int).tolist())
        curve = lru_curve(trace, start=CHUNK + 3)
        for objects in (1, 10, 300):
            hit = replay(trace, "lru", Capacity(objects, "objects")).hit[CHUNK + 3 :]
            assert curve.hit_ratio_at([objects])[0] == hit.mean()


@pytest.mark.parametrize("name", TRACES)
def test_ratios_of_real_traces_equal_the_reference(
    traces_dir: Path, shared_trace: Callable[[str], Trace], name: str
) -> None:
    trace, rows = shared_trace(name), pd.read_csv(traces_dir / "reference_hit_ratios.csv")
    rows = rows[(rows.trace == name) & (rows.policy == "LRU")]
    curves = {
        (unit, span): lru_curve(trace, unit, start)  # type: ignore[arg-type]
        for unit in ("objects", "bytes")
        for span, start in (("full", 0), ("test", int(0.6 * len(trace))))
    }
    assert len(rows) >= 6
    for row in rows.itertuples():
        curve = curves["objects" if row.capacity_kind.startswith("obj_") else "bytes", row.span]
        assert curve.hit_ratio_at([row.capacity])[0] == pytest.approx(row.request_hit_ratio, abs=ROUNDING)
        if not np.isnan(row.byte_hit_ratio):  # given with sizes only
            assert curve.byte_hit_ratio_at([row.capacity])[0] == pytest.approx(row.byte_hit_ratio, abs=ROUNDING)


def test_a_strided_part_of_a_trace_is_as_good_as_its_copy(make_trace: Build) -> None:
    keys = [i * i % 7 for i in range(100)]
    part, copied = make_trace(keys)[3::2], make_trace(keys[3::2])
    np.testing.assert_array_equal(lru_curve(part).hit_ratios, lru_curve(copied).hit_ratios)


def test_no_requests_give_no_curve(make_trace: Build) -> None:
    with pytest.raises(TraceError, match="needs at least one request"):
        lru_curve(make_trace([]))


@pytest.mark.parametrize("start", [-1, 2])
def test_a_start_outside_the_trace_is_refused(make_trace: Build, start: int) -> None:
    with pytest.raises(ConfigError, match=rf"start must lie in \[0, 2\).* got {start}"):
        lru_curve(make_trace([0, 0]), start=start)


def test_a_capacity_below_one_object_is_refused(make_trace: Build) -> None:
    with pytest.raises(ConfigError, match=r"must be >= 1 object, got 0\.5"):
        lru_curve(make_trace([0, 0])).hit_ratio_at([2, 0.5])
