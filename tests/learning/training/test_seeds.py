"""Several seeds: which are trained, what is told of each, and which one is kept."""

import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.callbacks import OnMetric, OnProgress
from learning.evaluation.evaluate import evaluate
from learning.problem import CacheProblem
from learning.training.seeds import best_of, seed_configs, seeds_summary, spread, train_seeds
from learning.training.train import TrainedPolicy, train
from schemas.options.train import TrainConfig


def config(**options: Any) -> TrainConfig:
    return TrainConfig.model_validate({"algorithm": "a2c", "cache_size": 80, "timesteps": 4_000, "seed": 5} | options)


def run(problem: CacheProblem, options: TrainConfig, metrics: list[Any], progress: list[Any]) -> Any:
    def train_one(own: TrainConfig, on_metric: OnMetric, on_progress: OnProgress) -> TrainedPolicy:
        return train(problem, own, on_metric, on_progress)

    return train_seeds(seed_configs(options), lambda *m: metrics.append(m), lambda *p: progress.append(p), train_one)


def test_three_seeds_are_three_trainings_of_which_the_best_in_validation_is_kept(hot_problem: CacheProblem) -> None:
    metrics: list[tuple[str, float, int]] = []
    progress: list[tuple[int, int]] = []
    runs = run(hot_problem, config(seeds=3), metrics, progress)
    assert [one.seed for one in runs] == [5, 6, 7]
    assert {name for name, _, _ in metrics if name.startswith("reward")} == {f"reward.seed_{s}" for s in (5, 6, 7)}
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)
    assert {total for _, total in progress} == {12_000}
    assert progress[-1] == (12_000, 12_000)
    best = best_of(runs)
    assert best.trained.validation_ratio == max(one.trained.validation_ratio for one in runs)
    summary = seeds_summary(hot_problem, runs)
    assert summary["kept"] == best.seed
    tests = [evaluate(hot_problem, one.trained.scorer, one.seed).policy.value_ratio for one in runs]
    assert [one["test"] for one in summary["runs"]] == tests
    assert summary["test"]["mean"] == pytest.approx(statistics.fmean(tests))
    assert summary["test"]["sd"] == pytest.approx(statistics.stdev(tests))


def test_one_seed_is_one_training_with_plain_names(hot_problem: CacheProblem) -> None:
    metrics: list[tuple[str, float, int]] = []
    (only,) = run(hot_problem, config(validation_fraction=0.0), metrics, [])
    assert only.seed == 5
    assert {name for name, _, _ in metrics} == {"reward", "loss", "training_hit_ratio"}
    assert best_of([only]) is only
    assert seeds_summary(hot_problem, [only])["validation"] == {"mean": None, "sd": None}


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_the_spread_is_that_of_a_sample(values: list[float]) -> None:
    found = spread(values)
    assert found["mean"] == pytest.approx(statistics.fmean(values), abs=1e-12)
    assert found["sd"] == pytest.approx(statistics.stdev(values), abs=1e-9)


def test_too_few_values_have_no_spread() -> None:
    assert spread([]) == spread([0.5, None]) == {"mean": None, "sd": None}
    assert spread([0.5]) == {"mean": 0.5, "sd": None}
