"""The training loop: from a cache problem to a scorer, with callbacks as its only way to the outside."""

import copy
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch import nn

from cachesim.features import Normaliser, fit_normaliser
from cachesim.rollout import Decisions, build_oracle, oldest_first
from cachesim.scorer import Scorer
from envs.vector import EvictionVecEnv
from learning.algorithms import PARALLEL_CACHES, REWARD, build, hyperparameters, latest_loss
from learning.policies import scorer_of
from learning.problem import CacheProblem
from learning.scorer import ScorerNet
from schemas.config import TrainConfig
from schemas.errors import ConfigError

OnMetric = Callable[[str, float, int], None]  # name, value, timesteps done
OnProgress = Callable[[int, int | None], None]  # done, total

TRAINING_CANDIDATES = 16
RESYNCS = 6  # the first one before training
AVERAGED_SHARE = 0.5  # the weights are averaged over the last half of the updates
NORMALISER_STEPS = 64  # of 64 caches and 16 candidates: 65,536 rows
REPORTS = 200  # points of each metric curve


@dataclass(frozen=True)
class TrainedPolicy:
    """A scorer that learned, and how.

    Attributes:
        net: the network, weights averaged, on the CPU.
        normaliser: the transform and standardisation in front of it.
        hyperparameters: of the algorithm.
        timesteps: decisions that it learned from.
        seconds: duration of the training.
    """

    net: ScorerNet
    normaliser: Normaliser
    hyperparameters: dict[str, Any]
    timesteps: int
    seconds: float

    @property
    def scorer(self) -> Scorer:
        """The policy for the compiled replay."""
        return self.net.compiled(self.normaliser)


def train(problem: CacheProblem, config: TrainConfig, on_metric: OnMetric, on_progress: OnProgress) -> TrainedPolicy:
    """Learn what to drop, on the training span alone. The same problem and seed give the same weights.

    Args:
        problem: what to learn.
        config: algorithm, timesteps, seed, device and overridden hyperparameters.
        on_metric: receives the curves `reward` (mean of a round), `loss` and `training_hit_ratio`.
        on_progress: receives the timesteps done and to do.

    Raises:
        GateError: the training span needs no eviction, so there is nothing to learn.
        ConfigError: the device is not there.
    """
    started = time.perf_counter()
    device = require_device(config.device)
    decisions = _decisions(problem, config.seed, on_metric)
    env = EvictionVecEnv(decisions, REWARD[config.algorithm])
    with one_thread():
        model = build(config, env, device)
        model.set_logger(Logger(folder=None, output_formats=[]))  # by default it makes a folder in /tmp
        follow = _Follow(env, on_metric, on_progress, config.timesteps)
        model.learn(config.timesteps, callback=follow, log_interval=sys.maxsize)  # nothing is dumped, `follow` reports
    return TrainedPolicy(
        follow.average.net.cpu(),
        decisions.normaliser,
        hyperparameters(config),
        model.num_timesteps,
        time.perf_counter() - started,
    )


def require_device(wanted: str) -> str:
    """Return the device to learn on; ConfigError when it is not there."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device: cuda was asked for, and this machine has none that PyTorch can use; take cpu or auto"
        )
    return wanted


@contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch on one thread: the networks are small, and two threads were slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _decisions(problem: CacheProblem, seed: int, on_metric: OnMetric) -> Decisions:
    span = problem.span
    oracle = build_oracle(span, problem.capacity, problem.values[: problem.training], problem.eviction_age_requests)
    decisions = Decisions(
        problem.training_stream,
        oracle,
        span.n_keys,
        batch=PARALLEL_CACHES,
        candidates=TRAINING_CANDIDATES,
        seed=seed,
    )
    on_metric("training_hit_ratio", decisions.resync(oldest_first(decisions.n_features)), 0)
    rows = _random_rows(decisions, np.random.default_rng(seed))
    decisions.normaliser = fit_normaliser(rows, span.column_names, problem.served_capacity.mean_objects(span))
    return decisions


def _random_rows(decisions: Decisions, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return raw feature rows (n, f) that a cache meets on the training span."""
    batch, candidates, n_features = decisions.rows.shape
    decisions.reset()
    rows = []
    for _ in range(NORMALISER_STEPS):
        decisions.step(rng.integers(0, candidates, batch))
        rows.append(decisions.rows.reshape(-1, n_features).copy())
    return np.concatenate(rows)


class _AverageNet:
    """The running mean of a network's weights."""

    def __init__(self) -> None:
        self.net: Any = None
        self._updates = 0

    def add(self, net: nn.Module) -> None:
        self._updates += 1
        if self.net is None:
            self.net = copy.deepcopy(net)
        with torch.no_grad():
            for mean, new in zip(self.net.parameters(), net.parameters(), strict=True):
                mean += (new - mean) / self._updates


class _Follow(BaseCallback):
    """Reports, averages the weights and loads fresh cache states while Stable-Baselines3 trains."""

    def __init__(self, env: EvictionVecEnv, on_metric: OnMetric, on_progress: OnProgress, timesteps: int) -> None:
        super().__init__()
        self.average = _AverageNet()
        self._env, self._on_metric, self._on_progress, self._timesteps = env, on_metric, on_progress, timesteps
        self._rewards: list[float] = []
        self._next_report = 0
        self._next_resync = timesteps // RESYNCS

    def _on_step(self) -> bool:
        self._rewards.append(float(self.locals["rewards"].mean()))
        return True

    def _on_rollout_end(self) -> None:
        done = self.num_timesteps
        if done >= AVERAGED_SHARE * self._timesteps:
            self.average.add(scorer_of(self.model.policy))
        if self._next_report <= done:
            self._next_report = done + self._timesteps // REPORTS
            self._report()
        if self._next_resync <= done < self._timesteps:
            self._next_resync += self._timesteps // RESYNCS
            hit_ratio = self._env.resync(scorer_of(self.model.policy).compiled(self._env.decisions.normaliser))
            self._on_metric("training_hit_ratio", hit_ratio, done)

    def _on_training_end(self) -> None:
        self.average.add(scorer_of(self.model.policy))
        self._report()

    def _report(self) -> None:
        if self._rewards:
            self._on_metric("reward", float(np.mean(self._rewards)), self.num_timesteps)
            self._rewards.clear()
        loss = latest_loss(self.model)
        if loss is not None:
            self._on_metric("loss", loss, self.num_timesteps)
        self._on_progress(min(self.num_timesteps, self._timesteps), self._timesteps)
