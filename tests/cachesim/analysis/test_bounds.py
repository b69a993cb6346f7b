"""PFOO-L is above what any cache can gain, and the reference's PFOO_bound."""

from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.analysis.bounds import OPTIMUM, PFOO, bound_score, optimum_hits, pfoo_hits, pfoo_ratio, pfoo_score
from cachesim.analysis.metrics import score
from cachesim.capacity import Capacity
from cachesim.replay import POLICIES, replay
from cachesim.traffic.energy import energy_trace
from schemas.errors import ConfigError
from schemas.trace import Trace

Build = Callable[..., Trace]
ROUNDING = 1e-6  # the reference has six decimals
FLOAT = 1e-9


@st.composite
def requests(draw: st.DrawFn, n_keys: int, most: int) -> tuple[list[int], list[int], list[float]]:
    """Keys, sizes and values of equal length."""
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, n_keys - 1), st.integers(1, 9), st.floats(0, 5)),
            min_size=1,
            max_size=most,
        )
    )
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


@given(
    rows=requests(8, 60), unit=st.sampled_from(["objects", "bytes"]), limit=st.integers(1, 20), begin=st.integers(0, 59)
)
def test_no_policy_gains_more_also_when_sizes_change(
    make_trace: Build, rows: tuple[list[int], list[int], list[float]], unit: str, limit: int, begin: int
) -> None:
    keys, size_bytes, worth = rows
    trace, span = make_trace(keys, size_bytes), slice(min(begin, len(keys) - 1), None)
    capacity = Capacity(limit, unit)  # type: ignore[arg-type]
    measures = (np.ones(len(keys)), trace.size_bytes.astype(np.float64), np.array(worth))
    bounds = [pfoo_hits(trace, capacity, values, span) @ values for values in measures]
    for policy in POLICIES:
        hit = replay(trace, policy, capacity).hit[span]
        for values, bound in zip(measures, bounds, strict=True):
            assert values[span][hit].sum() <= bound + FLOAT, policy


def best_gain(keys: list[int], size_bytes: list[int], values: list[float], limit: int, begin: int) -> float:
    """The most value from `begin` on over all ways to keep objects, by exhaustive search; sizes fixed for a key."""
    size = dict(zip(keys, size_bytes, strict=True))

    @cache
    def gain(i: int, held: frozenset[int]) -> float:
        if i == len(keys):
            return 0.0
        at_hand = sorted(held | {keys[i]})
        kept = (frozenset(some) for n in range(len(at_hand) + 1) for some in combinations(at_hand, n))
        after = max(gain(i + 1, some) for some in kept if sum(size[key] for key in some) <= limit)
        return after + (values[i] if keys[i] in held and i >= begin else 0.0)

    return gain(0, frozenset())


@given(rows=requests(4, 9), limit=st.integers(1, 16), begin=st.integers(0, 8))
def test_no_way_to_keep_objects_gains_more(
    make_trace: Build, rows: tuple[list[int], list[int], list[float]], limit: int, begin: int
) -> None:
    keys, drawn, values = rows
    size_bytes = [drawn[keys.index(key)] for key in keys]
    trace, worth = make_trace(keys, size_bytes), np.array(values)
    bound = pfoo_hits(trace, Capacity(limit, "bytes"), worth, slice(begin, None)) @ worth
    assert best_gain(keys, size_bytes, values, limit, begin) <= bound + FLOAT


@given(
    rows=requests(8, 60),
    unit=st.sampled_from(["objects", "bytes"]),
    weighted=st.booleans(),
    limit=st.integers(1, 20),
    begin=st.integers(0, 59),
)
def test_no_policy_exceeds_the_bound_that_is_named(
    make_trace: Build,
    rows: tuple[list[int], list[int], list[float]],
    unit: str,
    weighted: bool,
    limit: int,
    begin: int,
) -> None:
    keys, size_bytes, worth = rows
    trace, span = make_trace(keys, size_bytes), slice(min(begin, len(keys) - 1), None)
    capacity, values = Capacity(limit, unit), np.array(worth) if weighted else np.ones(len(keys))  # type: ignore[arg-type]
    name, bound = bound_score(trace, capacity, span, values)
    assert name == (OPTIMUM if unit == "objects" and np.unique(values[span]).size == 1 else PFOO)
    for policy in POLICIES:
        found = score(trace, replay(trace, policy, capacity).hit, span, values)
        assert (found.value_ratio or 0) <= (bound.value_ratio or 0) + FLOAT, policy
        assert (bound.value_ratio is None) == (found.value_ratio is None)


@given(rows=requests(5, 10), limit=st.integers(1, 4), begin=st.integers(0, 9))
def test_the_optimum_is_the_best_of_all_ways_to_keep_objects(
    make_trace: Build, rows: tuple[list[int], list[int], list[float]], limit: int, begin: int
) -> None:
    keys = rows[0]
    span, ones = slice(min(begin, len(keys)), None), [1] * len(keys)
    hit = optimum_hits(make_trace(keys), Capacity(limit, "objects"), span)
    assert hit.sum() == hit[span].sum() == best_gain(keys, ones, [1.0] * len(keys), limit, begin)


def test_min_from_the_first_request_on_is_no_bound_of_a_later_span(make_trace: Build) -> None:
    """It keeps 0, which comes first; a cache that keeps 1 instead misses before the span, and hits within."""
    trace, capacity, span = make_trace([0, 1, 0, 1]), Capacity(1, "objects"), slice(3, None)
    assert not replay(trace, "min-bypass", capacity).hit[span].any()
    assert optimum_hits(trace, capacity, span).tolist() == [False, False, False, True]


def test_the_optimum_lies_between_min_and_pfoo_on_traffic() -> None:
    trace, span = energy_trace(20_000, seed=3), slice(12_000, None)
    for objects in (20, 200, 2_000):
        capacity = Capacity(objects, "objects")
        found = optimum_hits(trace, capacity, span)[span].mean()
        assert replay(trace, "min-bypass", capacity).hit[span].mean() <= found
        assert found <= (pfoo_ratio(trace, capacity, span=span) or 0)


def test_the_optimum_is_for_objects_and_consecutive_requests(make_trace: Build) -> None:
    trace = make_trace([0, 1, 0])
    with pytest.raises(ConfigError, match="for capacities in objects"):
        optimum_hits(trace, Capacity(1, "bytes"), slice(0, 3))
    with pytest.raises(ConfigError, match="consecutive requests"):
        optimum_hits(trace, Capacity(1, "objects"), slice(0, 3, 2))


def test_the_densest_intervals_are_taken_and_the_last_one_in_part(make_trace: Build) -> None:
    """Capacity 1 over 6 requests offers 6. Object 1 takes 1 * 1, object 2 takes 1 * 4, object 0 1 * 5 of the last 1."""
    hits = pfoo_hits(make_trace([0, 2, 1, 1, 3, 2, 0]), Capacity(1, "objects"))
    np.testing.assert_allclose(hits, [0, 0, 0, 1, 0, 1, 2 / 6])


def test_an_interval_that_begins_before_the_span_costs_from_its_begin_on(make_trace: Build) -> None:
    """Two judged requests offer 2 * 3 bytes; object 0 takes none of it at request 3, object 1 takes 1 * 3."""
    trace = make_trace([0, 1, 2, 0, 1], [3, 3, 3, 3, 3])
    np.testing.assert_array_equal(pfoo_hits(trace, Capacity(3, "bytes"), span=slice(3, 5)), [0, 0, 0, 1, 1])


@given(rows=requests(8, 60), limit=st.integers(1, 30))
def test_a_larger_cache_is_bounded_higher_and_one_for_all_by_first_requests_only(
    make_trace: Build, rows: tuple[list[int], list[int], list[float]], limit: int
) -> None:
    keys, size_bytes, _ = rows
    trace = make_trace(keys, size_bytes)
    ratios = [pfoo_ratio(trace, Capacity(n, "bytes")) for n in (limit, limit + 1, 9 * len(keys) + 9)]
    assert ratios[0] is not None
    assert ratios[1] is not None
    assert ratios[0] <= ratios[1] + FLOAT
    assert ratios[2] == pytest.approx(1 - len(set(keys)) / len(keys))


def test_an_object_larger_than_the_cache_cannot_hit(make_trace: Build) -> None:
    assert pfoo_ratio(make_trace([0, 0, 0], 5), Capacity(4, "bytes")) == 0


def test_nothing_to_gain_gives_no_ratio(make_trace: Build) -> None:
    trace, capacity = make_trace([0, 0]), Capacity(1, "objects")
    assert pfoo_ratio(trace, capacity, np.zeros(2)) is None
    assert pfoo_ratio(trace, capacity, span=slice(2, None)) is None
    assert pfoo_ratio(make_trace([]), capacity) is None


def test_bounds_of_a_real_trace_equal_the_reference(traces_dir: Path, shared_trace: Callable[[str], Trace]) -> None:
    trace, rows = shared_trace("cloudphysics_io"), pd.read_csv(traces_dir / "reference_hit_ratios.csv")
    rows = rows[rows.policy == "PFOO_bound"]
    assert len(rows) == 4  # two spans of two capacities
    for row in rows.itertuples():
        capacity = Capacity(row.capacity, "bytes")
        span = slice(0 if row.span == "full" else int(0.6 * len(trace)), None)
        sizes = trace.size_bytes.astype(np.float64)
        assert pfoo_ratio(trace, capacity, span=span) == pytest.approx(row.request_hit_ratio, abs=ROUNDING)
        assert pfoo_ratio(trace, capacity, sizes, span) == pytest.approx(row.byte_hit_ratio, abs=ROUNDING)


@pytest.mark.parametrize("name", ["cloudphysics_io", "lirs_multi3", "orm_busy", "w106_block", "web12"])
def test_no_reference_of_a_real_trace_is_above_the_bound(
    traces_dir: Path, shared_trace: Callable[[str], Trace], name: str
) -> None:
    """All policies, Belady and MIN with bypass among them, at each capacity and span."""
    trace, rows = shared_trace(name), pd.read_csv(traces_dir / "reference_hit_ratios.csv")
    rows = rows[(rows.trace == name) & (rows.policy != "PFOO_bound")]
    for (kind, limit, span_name), group in rows.groupby(["capacity_kind", "capacity", "span"]):
        capacity = Capacity(int(limit), "objects" if kind.startswith("obj_") else "bytes")
        span = slice(0 if span_name == "full" else int(0.6 * len(trace)), None)
        bound = pfoo_ratio(trace, capacity, span=span)
        assert bound is not None
        assert group.request_hit_ratio.max() <= bound + ROUNDING, (kind, span_name)


def test_values_next_to_nothing_are_weighed_like_others(make_trace: Build) -> None:
    """1e-311 is a number so small that its reciprocal is none."""
    hits = pfoo_hits(make_trace([0, 0, 0]), Capacity(1, "objects"), np.array([0, 0, 1e-311]))
    assert hits.tolist() == [0, 0, 1]


def test_bad_arguments_are_refused(make_trace: Build) -> None:
    trace, capacity = make_trace([0, 0]), Capacity(1, "objects")
    with pytest.raises(ConfigError, match="one finite number for each of 2 requests"):
        pfoo_hits(trace, capacity, np.ones(3))
    with pytest.raises(ConfigError, match="one finite number"):
        pfoo_hits(trace, capacity, np.array([1, np.nan]))
    with pytest.raises(ConfigError, match="consecutive requests, got a step of 2"):
        pfoo_hits(trace, capacity, span=slice(0, 2, 2))


def test_the_ratio_is_the_share_of_the_value_in_the_span(make_trace: Build) -> None:
    trace, span = make_trace([0, 1, 0, 1, 0]), slice(2, 5)
    everything = Capacity(2, "objects")
    hit = replay(trace, "lru", everything).hit
    values = np.array([9.0, 9.0, 1.0, 2.0, 3.0])
    assert pfoo_ratio(trace, everything, values, span) == score(trace, hit, span, values).value_ratio == 1.0


def test_a_score_bounds_each_measure_on_its_own(make_trace: Build) -> None:
    keys, sizes, times = [0, 1, 2, 0, 1, 2], [4, 1, 1, 4, 1, 1], [1.0, 9.0, np.nan, 1.0, 9.0, np.nan]
    trace, capacity = make_trace(keys, sizes, times), Capacity(4, "bytes")
    found = pfoo_score(trace, capacity, slice(3, 6), np.array([0, 0, 0, 0.0, 0, 5]))
    by_measure = (np.ones(6), trace.size_bytes, np.nan_to_num(trace.load_time_ms), np.array([0, 0, 0, 0.0, 0, 5]))
    expected = [pfoo_ratio(trace, capacity, values, slice(3, 6)) for values in by_measure]
    assert [found.hit_ratio, found.byte_hit_ratio, found.saved_load_time_ratio, found.value_ratio] == expected
    assert (found.requests, found.mean_latency_ms, found.stale_ratio) == (3, None, None)
    for policy in POLICIES:
        gained = score(trace, replay(trace, policy, capacity).hit, slice(3, 6))
        assert gained.hit_ratio <= found.hit_ratio
        assert gained.byte_hit_ratio <= found.byte_hit_ratio
        assert gained.saved_load_time_ratio <= found.saved_load_time_ratio
    assert pfoo_score(make_trace(keys), capacity).saved_load_time_ratio is None
