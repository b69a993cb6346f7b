"""Sampled LRU curves equal the paper's procedure done plainly, and are near the exact ones."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.analysis.key_sample import MODULUS, hashed_codes, positions, threshold
from cachesim.analysis.lru_curve import lru_curve
from cachesim.analysis.shards import mean_absolute_error, sampled_lru_curve
from schemas.errors import ConfigError, TraceError
from schemas.trace import Trace

Build = Callable[..., Trace]

keys = st.lists(st.integers(0, 30), min_size=1, max_size=200)


class PlainShards:
    """SHARDS with a list as the stack, and counts that are rescaled at each change of the rate."""

    def __init__(self, position: list[int], rate: float, max_keys: int) -> None:
        self.position, self.above, self.max_keys = position, threshold(rate), max_keys
        self.stack: list[int] = []
        self.counts: dict[float, float] = {}  # by the estimated distance; inf for first requests

    def serve(self, key: int) -> None:
        if self.position[key] >= self.above:
            return
        distance = (self.stack.index(key) + 1) * MODULUS / self.above if key in self.stack else np.inf
        self.counts[distance] = self.counts.get(distance, 0.0) + 1
        self.stack = [key, *(other for other in self.stack if other != key)]
        if len(self.stack) > self.max_keys:
            lower = max(self.position[other] for other in self.stack)
            self.counts = {d: count * lower / self.above for d, count in self.counts.items()}
            self.above = lower
            self.stack = [other for other in self.stack if self.position[other] < lower]

    def hit_ratios(self, capacities: list[int], requests: int) -> list[float]:
        expected = requests * self.above / MODULUS
        missing = expected - sum(self.counts.values())
        found = sorted(np.rint(d) for d in self.counts if d < np.inf)
        sums = [sum(n for d, n in self.counts.items() if np.rint(d) <= c) + missing for c in found]
        ratios = np.maximum.accumulate(np.clip(np.array([0.0, *sums]) / expected, 0, 1))
        return [float(ratios[sum(c <= capacity for c in found)]) for capacity in capacities]


@given(keys=keys, rate=st.sampled_from([0.3, 0.7, 1.0]), max_keys=st.integers(1, 20), salt=st.integers(0, 50))
def test_the_curve_is_that_of_the_paper(
    make_trace: Build, keys: list[int], rate: float, max_keys: int, salt: int
) -> None:
    trace = make_trace(keys)
    position = positions(hashed_codes(trace.n_keys, salt)).tolist()
    plain = PlainShards(position, rate, max_keys)
    for key in keys:
        plain.serve(key)
    if not plain.counts:
        with pytest.raises(TraceError, match="is in the sample at rate"):
            sampled_lru_curve(trace, rate=rate, max_keys=max_keys, salt=salt)
        return
    curve = sampled_lru_curve(trace, rate=rate, max_keys=max_keys, salt=salt)
    capacities = list(range(1, 150))
    np.testing.assert_allclose(
        curve.hit_ratio_at(capacities), plain.hit_ratios(capacities, len(keys)), rtol=1e-9, atol=1e-12
    )
    assert (curve.rate * MODULUS, curve.sampled_keys) == (plain.above, len(plain.stack))


@given(keys=keys, spare=st.integers(0, 3), share=st.floats(0, 0.99))
@pytest.mark.parametrize("unit", ["objects", "bytes"])
def test_a_sample_of_all_keys_gives_the_exact_curve(
    make_trace: Build, unit: str, keys: list[int], spare: int, share: float
) -> None:
    trace, start = make_trace(keys, [1 + key for key in keys]), int(share * len(keys))
    exact = lru_curve(trace, unit, start)  # type: ignore[arg-type]
    curve = sampled_lru_curve(trace, unit, start, max_keys=len(set(keys)) + spare)  # type: ignore[arg-type]
    np.testing.assert_array_equal(curve.capacities, exact.capacities)
    np.testing.assert_allclose(curve.hit_ratios, exact.hit_ratios, rtol=1e-12)
    np.testing.assert_allclose(curve.byte_hit_ratios, exact.byte_hit_ratios, rtol=1e-12)
    assert (curve.rate, curve.sampled_keys) == (1.0, exact.sampled_keys)


def skewed(make_trace: Build, n: int = 200_000, n_keys: int = 20_000) -> Trace:
    rng = np.random.default_rng(3)
    requested = (n_keys * rng.random(n) ** 3).astype(int)
    return make_trace(requested.tolist(), (1 + requested % 100).tolist())


@pytest.mark.parametrize("unit", ["objects", "bytes"])
def test_more_sampled_keys_bring_the_curve_nearer(make_trace: Build, unit: str) -> None:
    """Means over eight salts; the error falls about with the square root of the sample."""
    trace = skewed(make_trace)
    exact = lru_curve(trace, unit, 50_000)  # type: ignore[arg-type]
    largest = int(exact.capacities[-1])
    grid = np.geomspace(largest // 20, largest, 100).astype(np.int64)
    errors = []
    for max_keys in (100, 1_000, 10_000):
        curves = [
            sampled_lru_curve(trace, unit, 50_000, max_keys=max_keys, salt=salt)  # type: ignore[arg-type]
            for salt in range(8)
        ]
        assert all(curve.sampled_keys == max_keys for curve in curves)
        errors.append(np.mean([mean_absolute_error(curve, exact, grid) for curve in curves]))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.01


def test_a_fixed_rate_takes_that_share_of_the_keys(make_trace: Build) -> None:
    trace = skewed(make_trace)
    curve = sampled_lru_curve(trace, rate=0.25)
    assert curve.rate == 0.25
    assert curve.sampled_keys == pytest.approx(trace.distinct_keys / 4, rel=0.05)


@pytest.mark.parametrize(("name", "most"), [("orm_busy", 0.005), ("w106_block", 0.005), ("web12", 0.01)])
def test_4000_keys_of_a_real_trace_tell_its_curve(shared_trace: Callable[[str], Trace], name: str, most: float) -> None:
    trace = shared_trace(name)
    curve, exact = sampled_lru_curve(trace, max_keys=4_000), lru_curve(trace)
    capacities = np.linspace(trace.distinct_keys / 100, trace.distinct_keys, 100)
    assert curve.sampled_keys == 4_000
    assert mean_absolute_error(curve, exact, capacities) < most


def test_bad_arguments_are_refused(make_trace: Build) -> None:
    trace = make_trace([0, 1, 0])
    with pytest.raises(ConfigError, match="at least 1 key, got max_keys 0"):
        sampled_lru_curve(trace, max_keys=0)
    with pytest.raises(ConfigError, match=r"rate must lie in \(0, 1\], got 0"):
        sampled_lru_curve(trace, rate=0)
    with pytest.raises(ConfigError, match="start must lie in"):
        sampled_lru_curve(trace, start=3)
    with pytest.raises(ConfigError, match="one unit, got objects and bytes"):
        mean_absolute_error(lru_curve(trace), lru_curve(trace, "bytes"), [1])
    with pytest.raises(ConfigError, match="at least, got none"):
        mean_absolute_error(lru_curve(trace), lru_curve(trace), [])
