"""What a policy may know of an object at a moment, and the transform before the network."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.features.history import missing_values, request_history
from cachesim.features.table import (
    COUNTS_AT,
    FEATURES,
    GAPS,
    HALF_LIVES_PER_CAPACITY,
    MOMENT_FEATURES,
    STANDARD_LIMIT,
    TRANSFORMS,
    Normaliser,
    feature_table,
    fit_normaliser,
    observe,
    raw_normaliser,
    transform,
)
from cachesim.traffic.energy import energy_trace
from schemas.trace import Trace

CAPACITY = 5.0
HALF_LIVES = [share * CAPACITY for share in HALF_LIVES_PER_CAPACITY]


@given(positions=st.lists(st.integers(0, 300), min_size=1, max_size=30, unique=True), waited=st.integers(0, 500))
def test_counts_at_a_later_moment_are_the_sum_over_all_requests(
    make_trace: Callable[..., Trace], positions: list[int], waited: int
) -> None:
    positions.sort()
    keys = [0 if t in positions else 1 for t in range(positions[-1] + 1)]
    trace = make_trace(keys)
    row = request_history(trace, missing_values(trace), CAPACITY, 5)[-1]
    raw = np.empty(len(FEATURES), np.float32)
    observe(row, waited, waited + 3, 0.25, np.array(HALF_LIVES), raw)
    now = positions[-1] + waited
    counts = [sum(2.0 ** ((t - now) / half_life) for t in positions) for half_life in HALF_LIVES]
    at = MOMENT_FEATURES + COUNTS_AT
    np.testing.assert_allclose(raw[at : at + len(HALF_LIVES)], counts, rtol=1e-4, atol=1e-37)
    assert raw[:MOMENT_FEATURES].tolist() == [waited, waited + 3, 0.25]
    np.testing.assert_array_equal(raw[MOMENT_FEATURES:at], row[:COUNTS_AT])
    np.testing.assert_array_equal(raw[at + len(HALF_LIVES) :], row[COUNTS_AT + len(HALF_LIVES) :])


def test_the_features_are_in_the_order_that_the_kernels_write() -> None:
    names = [feature.name for feature in FEATURES]
    assert names[:MOMENT_FEATURES] == ["age", "time_in_cache", "cache_hit_ratio"]
    assert names[MOMENT_FEATURES:][:GAPS] == ["gap_1", "gap_2", "gap_3", "gap_4"]
    assert names[MOMENT_FEATURES + COUNTS_AT :][:4] == ["count_0.25c", "count_2c", "count_16c", "count_128c"]
    assert names[-4:] == ["size_bytes", "load_time_ms", "endpoint_log2_gap", "endpoint_new_share"]


def test_every_feature_says_what_it_is() -> None:
    table = feature_table(("humidity", "price"))
    assert [feature.name for feature in table[-2:]] == ["humidity", "price"]
    assert len({feature.name for feature in table}) == len(table)
    for feature in table:
        assert feature.unit
        assert feature.definition
        assert feature.transform in TRANSFORMS
        assert feature.low < feature.high


def test_the_raw_normaliser_changes_nothing() -> None:
    values = np.array([1e30, -1e30, 0.5, -1], np.float32)
    expected = values.copy()
    transform(values, raw_normaliser(4))
    np.testing.assert_array_equal(values, expected)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Raw rows of an energy trace with one column, at many ages: ages, gaps and sizes go far beyond 2^8."""
    trace = energy_trace(5_000, seed=1)
    rng = np.random.default_rng(0)
    columns = rng.normal(0, 1000, (5_000, 1)).astype(np.float32)
    history = request_history(trace, missing_values(trace[:5_000]), 200.0, 2_000)
    raw = np.empty((5_000, len(FEATURES) + 1), np.float32)
    for row, out in zip(np.concatenate([history, columns], axis=1), raw, strict=True):
        observe(
            row, int(rng.integers(0, 5_000)), int(rng.integers(0, 9_000)), 0.3, np.array([50.0, 400, 3200, 25600]), out
        )
    return raw


def transformed(raw: np.ndarray, normaliser: Normaliser) -> np.ndarray:
    rows = raw.copy()
    for row in rows:
        transform(row, normaliser)
    return rows


def test_the_fitted_normaliser_gives_mean_zero_and_deviation_one(rows: np.ndarray) -> None:
    normaliser = fit_normaliser(rows, ("humidity",), 200.0)
    standard = transformed(rows, normaliser).astype(np.float64)
    constant = (rows == rows[0]).all(axis=0)
    assert constant.tolist() == [feature.name == "cache_hit_ratio" for feature in feature_table(("humidity",))]
    unclipped = (np.abs(standard) < STANDARD_LIMIT).all(axis=0)
    assert unclipped.sum() >= len(FEATURES) - 1
    np.testing.assert_allclose(standard[:, unclipped].mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(standard[:, unclipped & ~constant].std(axis=0), 1, atol=1e-3)


def test_a_missing_gap_counts_as_64_capacities(rows: np.ndarray) -> None:
    normaliser = fit_normaliser(rows, ("humidity",), 200.0)
    pair = np.repeat(rows[:1], 2, axis=0)
    pair[:, MOMENT_FEATURES] = [-1, 64 * 200.0]
    missing, far = transformed(pair, normaliser)
    np.testing.assert_allclose(missing, far, atol=1e-5)


@given(values=st.lists(st.floats(width=32, allow_nan=False), min_size=len(FEATURES), max_size=len(FEATURES)))
def test_transformed_values_are_finite_and_within_the_limit(rows: np.ndarray, values: list[float]) -> None:
    low = [feature.low for feature in FEATURES]
    raw = np.maximum(np.array([*values, values[0]], np.float32), np.array([*low, -np.inf], np.float32))
    assert (np.abs(transformed(raw[None], fit_normaliser(rows, ("humidity",), 200.0))) <= STANDARD_LIMIT).all()
