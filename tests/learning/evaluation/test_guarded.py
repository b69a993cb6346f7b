"""A network under guard, on the problem that it was trained for."""

import dataclasses

import numpy as np
import pytest

from cachesim.policies.guard.guarded import SHADOWS
from cachesim.replay import replay
from cachesim.traffic.energy import energy_trace
from learning.evaluation.guarded import guarded_options, replay_guarded
from learning.problem import build_problem
from learning.run_policy import replay_policy
from schemas.options.train import TrainConfig
from schemas.trace import Trace
from tests.models.learned.nets import random_net


@pytest.fixture(scope="module")
def trace() -> Trace:
    """6,000 requests that also have a feature column, unknown at times."""
    plain, rng = energy_trace(6_000, seed=2), np.random.default_rng(0)
    columns = rng.normal(size=(6_000, 1)).astype(np.float32)
    columns[::5] = np.nan
    return dataclasses.replace(plain, columns=columns, column_names=("price",))


@pytest.mark.parametrize("key_sample", [1.0, 0.4])
@pytest.mark.parametrize("capacity", [{"cache_size": 150}, {"cache_bytes": 2_000_000}], ids=["objects", "bytes"])
def test_the_network_decides_as_in_the_evaluation(trace: Trace, capacity: dict[str, int], key_sample: float) -> None:
    """Also when the keys are a sample, or the history is short."""
    config = TrainConfig(key_sample=key_sample, history_multiple=3, cache_weights={"load_time_ms": 1}, **capacity)
    problem, scorer = build_problem(trace, config), random_net(100.0, 0, ("price",))
    options = guarded_options(problem, scorer)
    guarded = replay(trace, "guarded", problem.capacity, seed=5, **options)
    np.testing.assert_array_equal(replay_guarded(problem, scorer, seed=5).hit, guarded.hit)
    del options["objective"], options["trained_requests"]
    learned = replay(trace, "learned", problem.capacity, seed=5, **options)
    np.testing.assert_array_equal(learned.hit, replay_policy(problem, scorer, seed=5))


def test_each_span_says_who_led_in_it(trace: Trace) -> None:
    problem = build_problem(trace, TrainConfig(cache_size=150))
    replayed = replay_guarded(problem, random_net(100.0, 0, ("price",)), seed=0)
    assert tuple(replayed.training.requests_led) == SHADOWS
    assert sum(replayed.training.requests_led.values()) == problem.training
    assert replayed.training.requests_led["learned"] == 0
    assert sum(replayed.held_out.requests_led.values()) == len(trace) - problem.training
    assert (replayed.training.switches > 0) == (len([n for n in replayed.training.requests_led.values() if n]) > 1)
