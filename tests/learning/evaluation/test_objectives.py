"""What a hit is said to be worth is what the policy learns to save: the chain from `cache_weights` to the scores."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cachesim.analysis.metrics import Score, score
from cachesim.capacity import Capacity
from cachesim.eviction.decisions import build_oracle
from cachesim.traffic.energy import energy_trace
from learning.problem import build_problem
from learning.run_policy import replay_policy
from learning.training.train import train
from schemas.options.train import TrainConfig
from schemas.trace import Trace

TRACE = energy_trace(20_000, seed=0)
OBJECTS = {"cache_size": 200}  # 5 % of the keys
BYTES = {"cache_bytes": 5_000_000}  # 2 % of the bytes


@pytest.fixture(scope="module")
def learned() -> Callable[..., Score]:
    """The held-out score of a short training for these weights; each is trained once."""
    known: dict[str, Score] = {}

    def call(capacity: dict[str, int], **weights: float) -> Score:
        name = f"{capacity} {weights}"
        if name not in known:
            options: dict[str, Any] = {"algorithm": "a2c", "timesteps": 30_000, "cache_weights": weights, **capacity}
            config = TrainConfig.model_validate(options)
            problem = build_problem(TRACE, config)
            trained = train(problem, config, lambda *_: None, lambda *_: None)
            known[name] = score(TRACE, replay_policy(problem, trained.scorer, 0), problem.held_out, problem.values)
        return known[name]

    return call


def test_what_is_weighed_is_saved_more_with_objects(learned: Callable[..., Score]) -> None:
    """Reached here: hit ratio .382, .346, .355; byte hit ratio .238, .277, .283; saved time .181, .223, .211."""
    hits, time, volume = learned(OBJECTS), learned(OBJECTS, load_time_ms=1), learned(OBJECTS, size_bytes=1)
    assert hits.hit_ratio > max(time.hit_ratio, volume.hit_ratio) + 0.01
    assert time.saved_load_time_ratio > max(hits.saved_load_time_ratio + 0.02, volume.saved_load_time_ratio)
    assert volume.byte_hit_ratio > max(hits.byte_hit_ratio + 0.02, time.byte_hit_ratio)


def test_what_is_weighed_is_saved_more_with_bytes(learned: Callable[..., Score]) -> None:
    """Reached here: hit ratio .446, .425; byte hit ratio .283, .288."""
    hits, volume = learned(BYTES), learned(BYTES, size_bytes=1)
    assert hits.hit_ratio > volume.hit_ratio + 0.005
    assert volume.byte_hit_ratio > hits.byte_hit_ratio


def test_a_mix_lies_between_its_parts(learned: Callable[..., Score]) -> None:
    """The value that a mix measures is the weighted mean of the parts' values."""
    mixed = learned(OBJECTS, load_time_ms=1, size_bytes=3)
    time, volume = learned(OBJECTS, load_time_ms=1), learned(OBJECTS, size_bytes=1)
    low, high = sorted((time.saved_load_time_ratio, volume.byte_hit_ratio))
    assert low < mixed.value_ratio < high
    assert mixed.byte_hit_ratio > learned(OBJECTS).byte_hit_ratio


@pytest.mark.parametrize("unit", ["objects", "bytes"])
def test_the_worth_of_an_object_is_its_value_for_the_room_it_takes(make_trace: Callable[..., Trace], unit: str) -> None:
    trace, values = make_trace([0, 1, 0, 1], [1, 4, 1, 4]), np.array([2.0, 8.0, 2.0, 4.0])
    worth = build_oracle(trace, Capacity(4, unit), values, 1.0).worth  # type: ignore[arg-type]
    room = np.array([1, 4, 1, 4]) / 2.5 if unit == "bytes" else np.ones(4)
    np.testing.assert_allclose(worth, values / room)


@pytest.mark.parametrize("capacity", [OBJECTS, BYTES], ids=["objects", "bytes"])
@pytest.mark.parametrize(
    ("weights", "measure"),
    [({}, "hit_ratio"), ({"size_bytes": 1.0}, "byte_hit_ratio"), ({"load_time_ms": 2.0}, "saved_load_time_ratio")],
)
def test_a_single_weight_makes_the_value_ratio_that_measure(
    capacity: dict[str, int], weights: dict[str, float], measure: str
) -> None:
    problem = build_problem(TRACE, TrainConfig.model_validate({"cache_weights": weights, **capacity}))
    hit = np.random.default_rng(0).random(len(TRACE)) < 0.3
    found = score(TRACE, hit, problem.held_out, problem.values)
    assert found.value_ratio == pytest.approx(getattr(found, measure), rel=1e-5)
