"""Policies side by side at many capacities."""

from collections.abc import Callable

import numpy as np
import pytest

from cachesim.analysis.bounds import pfoo_ratio
from cachesim.analysis.comparison import capacity_ladder, compare, footprint
from cachesim.analysis.key_sample import sample_keys
from cachesim.analysis.metrics import score
from cachesim.capacity import Capacity
from cachesim.replay import replay
from cachesim.traffic.energy import energy_trace
from schemas.errors import ConfigError
from schemas.trace import Trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return energy_trace(6_000, seed=1)


@pytest.mark.parametrize(
    ("unit", "measure", "ratio"),
    [
        ("objects", "requests", "hit_ratio"),
        ("bytes", "bytes", "byte_hit_ratio"),
        ("objects", "load_time", "saved_load_time_ratio"),
    ],
)
def test_each_cell_is_one_minus_the_ratio_of_a_replay(trace: Trace, unit: str, measure: str, ratio: str) -> None:
    capacities = capacity_ladder(footprint(trace, unit), 4).tolist()  # type: ignore[arg-type]
    compared = compare(trace, ["lru", "random"], capacities, unit=unit, measure=measure, warm_up=0.5, ttl_s=1e5, seed=3)  # type: ignore[arg-type]
    judged = slice(3_000, 6_000)
    for policy, ratios in compared.miss_ratios.items():
        for capacity, miss_ratio in zip(capacities, ratios, strict=True):
            hit = replay(trace, policy, Capacity(capacity, unit), ttl_s=1e5, seed=3).hit  # type: ignore[arg-type]
            assert miss_ratio == 1 - getattr(score(trace, hit, judged), ratio)


def test_what_no_policy_exceeds_stands_beside_the_policies(trace: Trace) -> None:
    capacities = capacity_ladder(footprint(trace, "bytes"), 4).tolist()
    compared = compare(trace, ["belady", "pfoo"], capacities, unit="bytes", measure="bytes", warm_up=0.5)
    judged, size_bytes = slice(3_000, 6_000), trace.size_bytes
    bounds = [pfoo_ratio(trace, Capacity(capacity, "bytes"), size_bytes, judged) for capacity in capacities]
    assert compared.miss_ratios["pfoo"] == [1 - bound for bound in bounds if bound is not None]
    assert np.all(np.less_equal(compared.miss_ratios["pfoo"], compared.miss_ratios["belady"]))


def test_the_ladder_rises_to_the_whole_footprint() -> None:
    ladder = capacity_ladder(10_000, 9)
    assert (ladder[0], ladder[-1], ladder.size) == (10, 10_000, 9)
    assert np.all(np.diff(ladder) > 0)
    assert capacity_ladder(1, 5).tolist() == [1]
    with pytest.raises(ConfigError, match="nothing to keep"):
        capacity_ladder(0, 5)


def test_the_footprint_counts_each_object_once_at_its_last_size(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 1, 0], [5, 7, 9])
    assert footprint(trace, "objects") == 2
    assert footprint(trace, "bytes") == 16


def test_a_sample_of_the_keys_tells_about_the_whole(trace: Trace) -> None:
    """Each of 8 capacities within .06 of the whole's miss ratio at half of the keys, .03 on average."""
    capacities = capacity_ladder(trace.distinct_keys, 8).tolist()[2:]
    whole = compare(trace, ["lru"], capacities)
    part = compare(sample_keys(trace, 0.5), ["lru"], capacities, key_sample=0.5, all_requests=len(trace))
    error = np.abs(np.subtract(whole.miss_ratios["lru"], part.miss_ratios["lru"]))
    assert error.max() < 0.06
    assert error.mean() < 0.03


def test_progress_counts_the_replays(trace: Trace) -> None:
    told: list[tuple[int, int]] = []
    compare(trace, ["lru", "fifo"], [10, 20], on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_load_times_are_needed_to_measure_them(make_trace: Callable[..., Trace]) -> None:
    with pytest.raises(ConfigError, match="measure load_time needs requests whose load time is known"):
        compare(make_trace([0, 1]), ["lru"], [1], measure="load_time")


def test_an_unknown_policy_is_refused_before_anything_is_replayed(trace: Trace) -> None:
    with pytest.raises(ConfigError, match="unknown policy best; known: "):
        compare(trace, ["lru", "best"], [1], on_progress=lambda *_: pytest.fail("replayed"))
