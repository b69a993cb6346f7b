"""The training loop: from a cache problem to a scorer, with callbacks as its only way to the outside."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.logger import Logger

from cachesim.features import Normaliser, fit_normaliser
from cachesim.rollout import Decisions, build_oracle, oldest_first
from cachesim.scorer import Scorer
from envs.vector import EvictionVecEnv
from learning.algorithms import LOSS, PARALLEL_CACHES, REWARD, build, hyperparameters
from learning.checkpoint import Checkpoint, Say, training_identity
from learning.follow import Follow, OnMetric, OnProgress, Outside
from learning.online import rehearse
from learning.problem import CacheProblem
from learning.scorer import ScorerNet
from learning.threads import one_thread
from learning.validation import Validation
from schemas.config import TrainConfig
from schemas.errors import ConfigError

TRAINING_CANDIDATES = 16
NORMALISER_STEPS = 64  # of 64 caches and 16 candidates: 65,536 rows


@dataclass(frozen=True)
class TrainedPolicy:
    """A scorer that learned, and how.

    Attributes:
        net: the network, on the CPU: the averaged weights that were kept, after the rehearsal.
        normaliser: the transform and standardisation in front of it.
        hyperparameters: of the algorithm.
        timesteps: decisions that were learned from.
        seconds: duration of the training, that of a killed run which it went on from included.
        kept_timesteps: decisions after which the weights were kept.
        validation_ratio: on the validation part of the training span, hits or their value, of the kept weights before
            the rehearsal; None without one.
    """

    net: ScorerNet
    normaliser: Normaliser
    hyperparameters: dict[str, Any]
    timesteps: int
    seconds: float
    kept_timesteps: int = 0
    validation_ratio: float | None = None

    @property
    def scorer(self) -> Scorer:
        """The policy for the compiled replay."""
        return self.net.compiled(self.normaliser)


def train(
    problem: CacheProblem,
    config: TrainConfig,
    on_metric: OnMetric,
    on_progress: OnProgress,
    checkpoint: Path | None = None,
    say: Say = lambda _: None,
) -> TrainedPolicy:
    """Learn what to drop, on the training span alone. The same problem and seed give the same weights.

    Args:
        problem: what to learn.
        config: algorithm, timesteps, seed, device, validation and overridden hyperparameters.
        on_metric: receives the curves `reward` (mean of a decision), `loss`, `training_hit_ratio` (of the whole
            training span), `validation_hit_ratio` (of its last part, see `learning.validation`) and, with
            `cache_weights`, `validation_value_ratio` (value of the hits / value of all).
        on_progress: receives the timesteps done and to do.
        checkpoint: file to leave the state of the training in, and to go on from where it holds that of the same
            training: the weights are then those of a run that was never interrupted, and its curves come first. The
            file stays; None = no file is written.
        say: receives lines for people: that it goes on, that a checkpoint cannot be used, that it stopped early.

    Raises:
        GateError: the training span needs no eviction, so there is nothing to learn.
        ConfigError: the device is not there.
    """
    started_s = time.perf_counter()
    device = require_device(config.device)
    validation = Validation.of(problem, config)
    decisions = _decisions(problem, config.seed, validation, on_metric)
    env = EvictionVecEnv(decisions, REWARD[config.algorithm])
    file = None if checkpoint is None else Checkpoint(checkpoint, training_identity(problem, config), say)
    follow = Follow(env, config.timesteps, config.patience, validation, Outside(on_metric, on_progress, say, file))
    with one_thread():
        model = build(config, env, device)
        model.set_logger(Logger(folder=None, output_formats=[]))  # by default it makes a folder in /tmp
        prepared_s = time.perf_counter() - started_s
        model.learn(config.timesteps, callback=follow, log_interval=sys.maxsize)  # nothing is dumped, `follow` reports
    kept, began_s = follow.kept, time.perf_counter()
    loss = LOSS[config.algorithm]
    net = rehearse(problem, follow.net, decisions.normaliser, loss, config.timesteps, config.seed)
    rehearsed_s = time.perf_counter() - began_s
    return TrainedPolicy(
        net=net,
        normaliser=decisions.normaliser,
        hyperparameters=hyperparameters(config),
        timesteps=follow.timesteps,
        seconds=prepared_s + follow.seconds + rehearsed_s,
        kept_timesteps=kept.timesteps,
        validation_ratio=kept.ratio,
    )


def require_device(wanted: str) -> str:
    """Return the device to learn on; ConfigError when it is not there."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device: cuda was asked for, and this machine has none that PyTorch can use; take cpu or auto"
        )
    return wanted


def _decisions(problem: CacheProblem, seed: int, validation: Validation, on_metric: OnMetric) -> Decisions:
    span = problem.span
    oracle = build_oracle(span, problem.capacity, problem.values[: problem.training], problem.eviction_age_requests)
    decisions = Decisions(
        problem.training_stream,
        oracle._replace(end=min(oracle.end, validation.decisions_end)),
        span.n_keys,
        batch=PARALLEL_CACHES,
        candidates=TRAINING_CANDIDATES,
        seed=seed,
    )
    for name, value in validation.curves(decisions.resync(oldest_first(decisions.n_features))).items():
        on_metric(name, value, 0)
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
