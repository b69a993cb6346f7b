"""The training loop: from a cache problem to a network, with callbacks as its only way to the outside."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.logger import Logger

from cachesim.eviction.scorer import Scorer
from cachesim.features.table import Normaliser
from cachesim.miss.decider import Decider
from envs.vector import DecisionVecEnv
from learning.callbacks import OnMetric, OnProgress, Say
from learning.networks import PolicyNet, ScorerNet
from learning.problem import CacheProblem
from learning.threads import one_thread
from learning.training.algorithms import LOSS, build, hyperparameters
from learning.training.callback import Follow, Outside
from learning.training.checkpoint import Checkpoint, training_identity
from learning.training.initial_decisions import first_decisions
from learning.training.online import rehearse
from learning.training.validation import Validation
from schemas.errors import ConfigError
from schemas.options.train import TrainConfig


@dataclass(frozen=True)
class TrainedPolicy:
    """A network that learned, and how.

    Attributes:
        net: on the CPU, the averaged weights that were kept, of an eviction after the rehearsal.
        normaliser: the transform and standardisation in front of it.
        hyperparameters: of the algorithm, and of the decisions that it learned from.
        timesteps: decisions that were learned from.
        seconds: duration of the training, that of a killed run which it went on from included.
        kept_timesteps: decisions after which the weights were kept.
        validation_ratio: on the validation part of the training span, hits or their value, of the kept weights before
            the rehearsal; None without one.
    """

    net: PolicyNet
    normaliser: Normaliser
    hyperparameters: dict[str, Any]
    timesteps: int
    seconds: float
    kept_timesteps: int = 0
    validation_ratio: float | None = None

    @property
    def policy(self) -> Scorer | Decider:
        """The network for the compiled replay: a scorer of candidates, or of the actions at a miss."""
        return self.net.compiled(self.normaliser)

    @property
    def scorer(self) -> Scorer:
        """That of an eviction."""
        policy = self.policy
        assert isinstance(policy, Scorer)
        return policy


def train(
    problem: CacheProblem,
    config: TrainConfig,
    on_metric: OnMetric,
    on_progress: OnProgress,
    checkpoint: Path | None = None,
    say: Say = lambda _: None,
) -> TrainedPolicy:
    """Learn a decision on the training span alone. The same problem and seed give the same weights.

    Args:
        problem: what to learn.
        config: algorithm, timesteps, seed, device, validation and overridden hyperparameters.
        on_metric: receives the curves `reward` (mean of a decision), `loss`, `training_hit_ratio` (of the whole
            training span), `validation_hit_ratio` (of its last part, see `learning.training.validation`) and, with
            `cache_weights` or where stale hits cost, `validation_value_ratio`, see `Score.value_ratio`.
        on_progress: receives the timesteps done and to do.
        checkpoint: file to leave the state of the training in, and to go on from where it holds that of the same
            training: the weights are then those of a run that was never interrupted, and its curves come first. The
            file stays; None = no file is written.
        say: receives lines for people: that it goes on, that a checkpoint cannot be used, that it stopped early.

    Raises:
        GateError: the training span leaves nothing to decide, so there is nothing to learn.
        ConfigError: the device is not there.
    """
    started_s = time.perf_counter()
    device = require_device(config.device)
    validation = Validation.of(problem, config)
    decisions, hit = first_decisions(problem, config.seed, validation.decisions_end, config.candidates)
    for name, value in validation.curves(hit).items():
        on_metric(name, value, 0)
    env = DecisionVecEnv(decisions)
    file = None if checkpoint is None else Checkpoint(checkpoint, training_identity(problem, config), say)
    follow = Follow(env, config.timesteps, config.patience, validation, Outside(on_metric, on_progress, say, file))
    with one_thread():
        model = build(config, env, device)
        model.set_logger(Logger(folder=None, output_formats=[]))  # by default it makes a folder in /tmp
        prepared_s = time.perf_counter() - started_s
        model.learn(config.timesteps, callback=follow, log_interval=sys.maxsize)  # nothing is dumped, `follow` reports
    kept, net, began_s = follow.kept, follow.net, time.perf_counter()
    if isinstance(net, ScorerNet):
        loss = LOSS[config.algorithm]
        net = rehearse(problem, net, decisions.normaliser, loss, config.timesteps, config.seed)
    rehearsed_s = time.perf_counter() - began_s
    return TrainedPolicy(
        net=net,
        normaliser=decisions.normaliser,
        hyperparameters=hyperparameters(config) | _of_decisions(problem, decisions.rows.shape[1]),
        timesteps=follow.timesteps,
        seconds=prepared_s + follow.seconds + rehearsed_s,
        kept_timesteps=kept.timesteps,
        validation_ratio=kept.ratio,
    )


def _of_decisions(problem: CacheProblem, candidates: int) -> dict[str, Any]:
    """Return how evictions were judged: among how many objects, and how far ahead."""
    return {} if problem.setting else {"candidates": candidates, "horizon": problem.horizon}


def require_device(wanted: str) -> str:
    """Return the device to learn on; ConfigError when it is not there."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device: cuda was asked for, and this machine has none that PyTorch can use; take cpu or auto"
        )
    return wanted
