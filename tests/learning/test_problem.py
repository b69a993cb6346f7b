"""What is to be learned: the spans, the capacity, and what the training span may know."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from cachesim.analysis.key_sample import sample_keys
from cachesim.eviction.caches import HISTORY_MULTIPLE
from cachesim.features.table import FEATURES
from cachesim.traffic.energy import energy_trace
from learning.problem import CacheProblem, build_problem
from schemas.errors import ConfigError, GateError, TraceError
from schemas.expectations import MIN_REQUESTS
from schemas.options.train import TrainConfig
from schemas.trace import Trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return energy_trace(3_000, seed=12)


def problem_of(trace: Trace, **options: Any) -> CacheProblem:
    return build_problem(trace, TrainConfig.model_validate(options))


@pytest.mark.parametrize(("test_fraction", "training"), [(0.4, 1_800), (0.25, 2_250), (0.5, 1_500)])
def test_the_last_share_is_held_out(trace: Trace, test_fraction: float, training: int) -> None:
    problem = problem_of(trace, test_fraction=test_fraction)
    assert (problem.training, problem.held_out) == (training, slice(training, 3_000))
    np.testing.assert_array_equal(problem.span.key, trace.key[:training])


def test_the_training_stream_is_the_beginning_of_the_stream(trace: Trace) -> None:
    problem = problem_of(trace, cache_size=50)
    assert problem.training_stream.key.size == problem.training
    for whole, beginning in zip(problem.stream[:3], problem.training_stream[:3], strict=True):
        np.testing.assert_array_equal(whole[: problem.training], beginning)
    assert problem.training_stream.limit == 50


@pytest.mark.parametrize(
    ("options", "limit", "unit"),
    [
        ({"cache_size": 7}, 7, "objects"),
        ({"cache_bytes": 9_000}, 9_000, "bytes"),
        ({"cache_fraction": 0.1}, "10 %", "objects"),
        ({}, "1 %", "objects"),
    ],
)
def test_the_capacity_is_what_was_asked_for(trace: Trace, options: dict[str, Any], limit: Any, unit: str) -> None:
    capacity = problem_of(trace, **options).capacity
    if isinstance(limit, str):
        limit = int(float(limit[:-2]) / 100 * trace.distinct_keys + 0.5)
    assert (capacity.limit, capacity.unit) == (limit, unit)


def test_values_are_in_units_of_the_training_mean(trace: Trace) -> None:
    problem = problem_of(trace, cache_weights={"load_time_ms": 2.0})
    assert problem.values[: problem.training].mean() == pytest.approx(2.0, rel=1e-5)
    assert (problem_of(trace).values == 1).all()


def test_features_are_the_built_in_ones_and_the_columns(trace: Trace) -> None:
    with_column = Trace(
        trace.key, trace.timestamp_s, trace.size_bytes, trace.load_time_ms, trace.endpoint, trace.n_keys,
        trace.endpoint_names, columns=np.ones((3_000, 1), np.float32), column_names=("humidity",),
    )  # fmt: skip
    problem = problem_of(with_column)
    assert [feature.name for feature in problem.features] == [*(f.name for f in FEATURES), "humidity"]
    assert problem_of(trace).features == FEATURES


def test_too_few_requests_are_refused(trace: Trace) -> None:
    assert problem_of(trace[:MIN_REQUESTS]).training == 600
    with pytest.raises(TraceError, match="999 requests are too few to learn from: at least 1,000 are needed"):
        problem_of(trace[: MIN_REQUESTS - 1])


def test_a_weight_of_an_unknown_column_is_refused_with_the_nearest_names(trace: Trace) -> None:
    with pytest.raises(ConfigError, match="did you mean load_time_ms"):
        problem_of(trace, cache_weights={"load_time": 1.0})


def test_a_weight_that_is_worth_nothing_later_is_refused_before_anything_is_learned(trace: Trace) -> None:
    early = (np.arange(3_000) < 1_800).astype(np.float32)[:, None]
    priced = dataclasses.replace(trace, columns=early, column_names=("price",))
    with pytest.raises(GateError, match="no hit on the held-out requests is worth anything; weigh another column"):
        problem_of(priced, cache_weights={"price": 1.0})


def test_as_many_keys_are_remembered_when_nothing_is_said_whoever_asks() -> None:
    assert TrainConfig().history_multiple == HISTORY_MULTIPLE


def test_what_is_learned_from_a_sample_of_the_keys_is_told_in_requests_and_objects_of_the_whole() -> None:
    """Each of 1,000 keys comes every 1,000 requests: in half of the keys too, gaps and capacities are those."""
    keys = np.tile(np.arange(1_000), 20)
    trace = Trace(
        key=keys,
        timestamp_s=np.arange(keys.size, dtype=np.float64),
        size_bytes=np.ones(keys.size, np.int64),
        load_time_ms=np.full(keys.size, np.nan, np.float32),
        endpoint=np.zeros(keys.size, np.int32),
        n_keys=1_000,
    )
    sample = sample_keys(trace, 0.5)
    problem = build_problem(sample, TrainConfig(cache_size=200, key_sample=0.5))
    assert (problem.capacity.limit, problem.served_capacity.limit) == (100, 200)
    gaps = problem.stream.history[-400:, 0]
    assert gaps.mean() == pytest.approx(1_000, rel=0.1)
    assert (
        problem.stream.half_lives.tolist()
        == build_problem(trace, TrainConfig(cache_size=200)).stream.half_lives.tolist()
    )
    tenth = build_problem(sample, TrainConfig(cache_fraction=0.1, key_sample=0.5))
    assert tenth.capacity.limit == round(0.1 * sample.distinct_keys)
    assert tenth.served_capacity.limit == 2 * tenth.capacity.limit
