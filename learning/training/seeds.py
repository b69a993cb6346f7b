"""Several trainings that differ by their seed alone: which one to keep, and how far they spread."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from learning.callbacks import OnMetric, OnProgress
from learning.problem import CacheProblem
from learning.run_policy import replay_policy
from learning.training.train import TrainedPolicy
from schemas.options.train import TrainConfig

TrainOne = Callable[[TrainConfig, OnMetric, OnProgress], TrainedPolicy]


@dataclass(frozen=True)
class SeedRun:
    """One training, and the seed of it."""

    seed: int
    trained: TrainedPolicy


def seed_configs(config: TrainConfig) -> list[TrainConfig]:
    """Return the configuration of each training, with the seeds from `config.seed` on."""
    return [config.model_copy(update={"seed": config.seed + i}) for i in range(config.seeds)]


def train_seeds(
    configs: Sequence[TrainConfig], on_metric: OnMetric, on_progress: OnProgress, train_one: TrainOne
) -> list[SeedRun]:
    """Train a policy with each of `configs`.

    Args:
        configs: see `seed_configs`.
        on_metric: receives the curves of each; with several seeds they are named "reward.seed_3".
        on_progress: receives the timesteps done and to do by all.
        train_one: trains one policy; receives its configuration and where to report to.
    """
    total = sum(config.timesteps for config in configs)
    runs: list[SeedRun] = []
    for config in configs:
        suffix = f".seed_{config.seed}" if len(configs) > 1 else ""
        before = len(runs) * config.timesteps

        def tell(name: str, value: float, step: int, suffix: str = suffix) -> None:
            on_metric(f"{name}{suffix}", value, step)

        def progress(done: int, _: int | None, before: int = before) -> None:
            on_progress(before + done, total)

        runs.append(SeedRun(config.seed, train_one(config, tell, progress)))
    return runs


def best_of(runs: Sequence[SeedRun]) -> SeedRun:
    """Return the run of the highest validation ratio, the first of equals; without validation the first of all."""
    return max(runs, key=lambda run: -1.0 if run.trained.validation_ratio is None else run.trained.validation_ratio)


def seeds_summary(problem: CacheProblem, runs: Sequence[SeedRun]) -> dict[str, Any]:
    """Return as JSON how each run did in validation and on the held-out span, their means and standard deviations."""
    each = [
        {"seed": run.seed, "validation": run.trained.validation_ratio, "test": _test_ratio(problem, run)}
        for run in runs
    ]
    return {
        "kept": best_of(runs).seed,
        "validation": spread([one["validation"] for one in each]),
        "test": spread([one["test"] for one in each]),
        "runs": each,
    }


def spread(values: Sequence[float | None]) -> dict[str, float | None]:
    """Return mean and standard deviation of a sample, n - 1; None where there are too few values."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return {"mean": None, "sd": None}
    mean = math.fsum(known) / len(known)
    if len(known) == 1:
        return {"mean": mean, "sd": None}
    return {"mean": mean, "sd": math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1))}


def _test_ratio(problem: CacheProblem, run: SeedRun) -> float | None:
    hit = replay_policy(problem, run.trained.policy, run.seed)
    return problem.score(hit, problem.held_out).value_ratio
