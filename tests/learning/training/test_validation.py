"""The validation part: what is judged there, what is learned from it, and what it decides."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cachesim.eviction.decisions import Decisions
from learning.problem import CacheProblem, build_problem
from learning.training.train import TrainedPolicy, train
from learning.training.validation import Validation
from schemas.options.train import TrainConfig
from schemas.trace import IntArray, Trace

TIMESTEPS = 6_000


def config(**options: Any) -> TrainConfig:
    return TrainConfig.model_validate({"algorithm": "a2c", "cache_size": 80, "timesteps": TIMESTEPS} | options)


def trained(problem: CacheProblem, options: TrainConfig) -> tuple[TrainedPolicy, dict[str, list[tuple[int, float]]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    policy = train(problem, options, lambda n, v, s: curves.setdefault(n, []).append((s, v)), lambda *_: None)
    return policy, curves


def test_the_curves_are_the_ratios_of_the_span_and_of_its_last_part(hot_problem: CacheProblem) -> None:
    hit = np.random.default_rng(0).random(hot_problem.training) < 0.5
    validation = Validation.of(hot_problem, config(validation_fraction=0.25))
    assert validation.start == 5_400
    assert validation.curves(hit) == {"training_hit_ratio": hit.mean(), "validation_hit_ratio": hit[5_400:].mean()}


def test_with_weights_the_value_of_the_hits_decides(hot_trace: Trace) -> None:
    options = config(cache_weights={"size_bytes": 1.0}, validation_fraction=0.25)
    problem = build_problem(hot_trace, options)
    validation = Validation.of(problem, options)
    hit = np.random.default_rng(0).random(problem.training) < 0.5
    size = hot_trace.size_bytes[5_400:7_200]
    found = validation.curves(hit)
    assert validation.decisive == "validation_value_ratio"
    assert found["validation_value_ratio"] == pytest.approx(size[hit[5_400:]].sum() / size.sum())


def test_without_a_validation_part_nothing_is_judged_and_the_last_weights_are_kept(hot_problem: CacheProblem) -> None:
    policy, curves = trained(hot_problem, config(validation_fraction=0.0, patience=1))
    assert "validation_hit_ratio" not in curves
    assert policy.validation_ratio is None
    assert policy.kept_timesteps == policy.timesteps >= TIMESTEPS


def test_the_weights_that_did_best_in_validation_are_kept(hot_problem: CacheProblem) -> None:
    options = config(patience=0, timesteps=12_000, seed=3)  # which gets worse in the end
    policy, curves = trained(hot_problem, options)
    found = dict(curves["validation_hit_ratio"][1:])  # the first is that of LRU
    best = max(found.values())
    assert policy.validation_ratio == best > list(found.values())[-1]
    assert policy.kept_timesteps == max(step for step, ratio in found.items() if ratio == best)


@pytest.mark.parametrize("hold_back", [True, False])
def test_decisions_are_made_in_the_validation_part_unless_it_is_held_back(
    hold_back: bool, hot_problem: CacheProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions: list[int] = []
    step = Decisions.step

    def watched(decisions: Decisions, actions: IntArray) -> NDArray[np.bool_]:
        done = step(decisions, actions)
        positions.extend(decisions._caches.position)
        return done

    monkeypatch.setattr(Decisions, "step", watched)
    trained(hot_problem, config(hold_back=hold_back))
    start = Validation.of(hot_problem, config()).start
    assert max(positions) < hot_problem.training
    assert (max(positions) < start) == hold_back
