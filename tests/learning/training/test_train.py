"""The training loop: it repeats exactly, reports what it does, sees no held-out request, and learns."""

import random
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cachesim.features.table import STANDARD_LIMIT
from learning.evaluation.evaluate import evaluate
from learning.problem import CacheProblem, build_problem
from learning.training.callback import RESYNCS
from learning.training.initial_decisions import PARALLEL_CACHES
from learning.training.train import TrainedPolicy, train
from schemas.errors import ConfigError, GateError
from schemas.options.train import TrainConfig
from schemas.trace import Trace

every_algorithm = pytest.mark.parametrize("algorithm", ["dqn", "ppo", "a2c"])
Reports = list[tuple[str, float, int]]


def ignore(*_: Any) -> None:
    """Takes reports and drops them."""


def config(algorithm: str, **options: Any) -> TrainConfig:
    whole = {"algorithm": algorithm, "cache_size": 80, "timesteps": 6_000, "patience": 0}  # none stops early
    return TrainConfig.model_validate(whole | options)


def trained(problem: CacheProblem, options: TrainConfig) -> TrainedPolicy:
    return train(problem, options, ignore, ignore)


def weights(policy: TrainedPolicy) -> np.ndarray:
    return torch.cat([parameter.detach().flatten() for parameter in policy.net.parameters()]).numpy()


@every_algorithm
def test_one_seed_gives_the_same_weights_whatever_happened_before(hot_problem: CacheProblem, algorithm: str) -> None:
    first = trained(hot_problem, config(algorithm))
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)
    again = trained(hot_problem, config(algorithm))
    np.testing.assert_array_equal(weights(first), weights(again))
    for one, other in zip(first.normaliser, again.normaliser, strict=True):
        np.testing.assert_array_equal(one, other)


@every_algorithm
def test_another_seed_gives_other_weights(hot_problem: CacheProblem, algorithm: str) -> None:
    first, other = (trained(hot_problem, config(algorithm, seed=seed)) for seed in (0, 1))
    assert (weights(first) != weights(other)).mean() > 0.9


def with_other_future(trace: Trace, training: int) -> Trace:
    """The same training span; afterwards other keys, sizes and load times."""
    rng, later = np.random.default_rng(3), len(trace) - training
    return Trace(
        key=np.concatenate([trace.key[:training], rng.integers(0, trace.n_keys, later)]),
        timestamp_s=trace.timestamp_s.copy(),
        size_bytes=np.concatenate([trace.size_bytes[:training], rng.integers(1, 9_999, later)]),
        load_time_ms=np.concatenate([trace.load_time_ms[:training], rng.random(later, np.float32)]),
        endpoint=trace.endpoint.copy(),
        n_keys=trace.n_keys,
    )


@every_algorithm
@pytest.mark.parametrize("capacity", [{"cache_size": 80}, {"cache_size": None, "cache_bytes": 2_000}], ids=str)
def test_held_out_requests_change_no_weight(hot_trace: Trace, algorithm: str, capacity: dict[str, int | None]) -> None:
    options = config(algorithm, cache_weights={"size_bytes": 1.0}, **capacity)
    first, other = (
        trained(build_problem(trace, options), options) for trace in (hot_trace, with_other_future(hot_trace, 7_200))
    )
    np.testing.assert_array_equal(weights(first), weights(other))


@every_algorithm
def test_what_is_plain_is_learned(hot_problem: CacheProblem, algorithm: str) -> None:
    """Without the future 80 of 100 hot objects can be kept: .40. LRU keeps the newest, mostly objects seen once."""
    options = config(algorithm, timesteps=16_384)
    found = evaluate(hot_problem, trained(hot_problem, options).scorer, seed=0)
    assert found.baselines["lru"].hit_ratio < 0.2
    assert found.policy.hit_ratio > 0.37
    assert found.policy.hit_ratio > found.baselines["s3-fifo"].hit_ratio


@every_algorithm
def test_bytes_are_learned_as_well(hot_trace: Trace, algorithm: str) -> None:
    options = config(algorithm, timesteps=16_384, cache_size=None, cache_bytes=1_500)
    problem = build_problem(hot_trace, options)
    found = evaluate(problem, trained(problem, options).scorer, seed=0)
    assert found.policy.hit_ratio > found.baselines["lru"].hit_ratio + 0.15


@pytest.fixture(scope="module", params=["dqn", "ppo", "a2c"])
def reports(request: pytest.FixtureRequest, hot_problem: CacheProblem) -> tuple[Reports, list[tuple[int, int | None]]]:
    metrics: Reports = []
    progress: list[tuple[int, int | None]] = []
    train(
        hot_problem,
        config(request.param, timesteps=30_000),
        lambda *metric: metrics.append(metric),
        lambda *done: progress.append(done),
    )
    return metrics, progress


def test_the_curves_are_reported_with_steps_that_never_fall(reports: tuple[Reports, Any]) -> None:
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for name, value, step in reports[0]:
        assert np.isfinite(value)
        curves[name].append((step, value))
    assert set(curves) == {"reward", "loss", "training_hit_ratio", "validation_hit_ratio"}
    for curve in curves.values():
        steps = [step for step, _ in curve]
        assert steps == sorted(steps)
        assert 6 <= len(curve) <= 250
    for name in ("training_hit_ratio", "validation_hit_ratio"):
        assert all(0 <= value <= 1 for _, value in curves[name])
        assert len(curves[name]) == RESYNCS + 1  # before training, and at the end of each sixth of it


def test_the_reported_curves_show_that_it_learns(reports: tuple[Reports, Any]) -> None:
    hit_ratios = [value for name, value, _ in reports[0] if name == "training_hit_ratio"]
    assert hit_ratios[-1] > hit_ratios[0] + 0.1
    rewards = [value for name, value, _ in reports[0] if name == "reward"]
    assert np.mean(rewards[-5:]) > np.mean(rewards[:3])


def test_progress_rises_and_reaches_the_total(reports: tuple[Any, list[tuple[int, int | None]]]) -> None:
    done = [step for step, _ in reports[1]]
    assert {total for _, total in reports[1]} == {30_000}
    assert done == sorted(done)
    assert done[-1] == 30_000
    assert len(done) > 10


@every_algorithm
@pytest.mark.parametrize("timesteps", [1, 100, 5_000])
def test_any_number_of_timesteps_gives_a_policy(hot_problem: CacheProblem, algorithm: str, timesteps: int) -> None:
    progress: list[tuple[int, int | None]] = []
    policy = train(hot_problem, config(algorithm, timesteps=timesteps), ignore, lambda *done: progress.append(done))
    assert np.isfinite(weights(policy)).all()
    assert progress[-1] == (timesteps, timesteps)
    assert policy.timesteps >= timesteps
    assert policy.timesteps % PARALLEL_CACHES == 0


def test_the_features_are_standardised_on_the_training_span(hot_problem: CacheProblem) -> None:
    policy = trained(hot_problem, config("a2c", timesteps=64))
    age_log2 = policy.normaliser.mean[0]
    assert 0 < age_log2 < np.log2(7_200)
    assert (policy.normaliser.deviation > 0).all()
    gap = [feature.name for feature in hot_problem.features].index("gap_4")
    assert policy.normaliser.missing_value[gap] == pytest.approx(np.log2(1 + 64 * 80))
    missing = (policy.normaliser.missing_value - policy.normaliser.mean) / policy.normaliser.deviation
    assert abs(missing[gap]) < STANDARD_LIMIT


def test_the_number_of_threads_of_torch_is_restored_also_after_a_failure(hot_problem: CacheProblem) -> None:
    class StoppedError(Exception):
        pass

    def stop(*_: Any) -> None:
        assert torch.get_num_threads() == 1
        raise StoppedError

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        trained(hot_problem, config("a2c", timesteps=64))
        assert torch.get_num_threads() == 3
        with pytest.raises(StoppedError):
            train(hot_problem, config("a2c", timesteps=64), ignore, stop)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_training_writes_no_file(hot_problem: CacheProblem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    trained(hot_problem, config("ppo", timesteps=64))
    assert list(tmp_path.iterdir()) == []


@every_algorithm
def test_the_hyperparameters_that_were_used_are_told(hot_problem: CacheProblem, algorithm: str) -> None:
    policy = trained(hot_problem, config(algorithm, timesteps=64, learning_rate=0.01, batch_size=128))
    assert policy.hyperparameters["learning_rate"] == 0.01
    assert policy.hyperparameters["n_steps" if algorithm == "a2c" else "batch_size"] == (
        2 if algorithm == "a2c" else 128
    )


def test_a_missing_gpu_is_named_in_one_line(hot_problem: CacheProblem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^device: cuda .*; take cpu or auto$"):
        trained(hot_problem, config("dqn", device="cuda"))


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_the_trained_network_is_on_the_cpu(hot_problem: CacheProblem, device: str) -> None:
    policy = trained(hot_problem, config("a2c", timesteps=64, device=device))
    assert {parameter.device.type for parameter in policy.net.parameters()} == {"cpu"}


@every_algorithm
def test_a_cache_that_holds_everything_is_refused(hot_trace: Trace, algorithm: str) -> None:
    options = config(algorithm, cache_size=20_000)
    with pytest.raises(GateError, match=r"the cache evicts nothing on the training span, .* give another capacity"):
        trained(build_problem(hot_trace, options), options)
