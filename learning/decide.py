"""Training of the decisions on misses, `admission` and `ttl`: from a setting to a network.

A contextual bandit, as eviction is: the discount is 0, and each decision is judged alone. The training span is replayed
with the network in charge a few times; after each replay the network is fitted to the decisions that it met, and the
algorithm goes on to learn from those that it takes itself.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import LinearSchedule
from torch import nn

from cachesim.decided import Contexts, Future, fit_decisions, seen_by
from cachesim.decider import Decider, always
from cachesim.features import Float32Array, Normaliser, raw_normaliser
from cachesim.setting import Setting
from envs.contexts import ContextVecEnv
from learning.algorithms import PARALLEL_CACHES, hyperparameters, latest_loss
from learning.decider import HIDDEN, DecisionNet, layers_of
from learning.follow import OnMetric, OnProgress
from learning.threads import one_thread
from learning.train import require_device
from learning.warm_start import warm_start
from schemas.config import Algorithm, TrainConfig
from schemas.errors import GateError

RESYNCS = 6  # replays of the span, the first one before training
AVERAGED_SHARE = 0.5  # the weights are averaged over the last half of the updates
REPORTS = 200  # points of each metric curve
MOST_CONTEXTS = 100_000  # decisions of one replay that are learned from
ADMITTED_SHARE = 0.1  # of the admissions, which are admitted for the sake of learning
LAST_RATE_SHARE = 0.05  # of the first learning rate
NO_CHOICE = "the training span has no decision to learn from: every request hits, or nothing fits into the cache"

_FROM_ONE_ACTION: dict[Algorithm, dict[str, Any]] = {
    "dqn": {"train_freq": 1, "gradient_steps": 2},
    "ppo": {"batch_size": 1_024},
    "a2c": {"n_steps": 8, "normalize_advantage": True},
}
_ALGORITHMS: dict[str, Callable[..., BaseAlgorithm]] = {"dqn": DQN, "ppo": PPO, "a2c": A2C}


@dataclass(frozen=True)
class TrainedDecision:
    """A network that learned, and how.

    Attributes:
        net: the network, weights averaged, on the CPU.
        normaliser: the transform and standardisation in front of it.
        hyperparameters: of the algorithm.
        timesteps: decisions that it learned from.
        seconds: duration of the training.
    """

    net: DecisionNet
    normaliser: Normaliser
    hyperparameters: dict[str, Any]
    timesteps: int
    seconds: float

    @property
    def decider(self) -> Decider:
        """The network for the compiled replay."""
        return self.net.compiled(self.normaliser)


def train_decision(
    setting: Setting, config: TrainConfig, on_metric: OnMetric, on_progress: OnProgress
) -> TrainedDecision:
    """Learn a decision on the training span alone. The same setting and seed give the same weights.

    Args:
        setting: what is decided.
        config: algorithm, timesteps, seed, device and overridden hyperparameters.
        on_metric: receives the curves `reward` (mean of a round), `loss` and `training_hit_ratio`.
        on_progress: receives the timesteps done and to do.

    Raises:
        GateError: the training span has no decision to learn from.
        ConfigError: the device is not there.
    """
    started, device = time.perf_counter(), require_device(config.device)
    source = _Source(setting, config.seed)
    env = ContextVecEnv(*source.seen(), batch=PARALLEL_CACHES, seed=config.seed)
    on_metric("training_hit_ratio", source.contexts.hit_ratio, 0)
    with one_thread():
        model = _build(config, env, device)
        follow = _Follow(env, source, on_metric, on_progress, config.timesteps)
        model.learn(config.timesteps, callback=follow, log_interval=sys.maxsize)
    seconds = time.perf_counter() - started
    return TrainedDecision(follow.net(), source.normaliser, _settings(config), model.num_timesteps, seconds)


class _Source:
    """The decisions to learn from: of the latest replay of the training span."""

    def __init__(self, setting: Setting, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._future = Future(setting.of_training)
        self._setting = setting
        last = setting.ladder_s.size - 1
        n_features = len(setting.features)
        self.normaliser = raw_normaliser(n_features)
        self.contexts = self.replay(always(last, n_features, last + 1, self.normaliser))
        self.normaliser = fit_decisions(self.contexts.rows, setting)
        self._scale = float(self.contexts.rewards.std()) or 1.0

    def replay(self, decider: Decider) -> Contexts:
        """Replay the span with a network in charge; return the decisions that it met."""
        share = ADMITTED_SHARE if self._setting.decision == "admission" else 1.0
        share = min(share, MOST_CONTEXTS / self._setting.training)
        self.contexts = self._future.contexts(decider, share, MOST_CONTEXTS, self.seed())
        if len(self.contexts.rows) == 0:
            raise GateError(NO_CHOICE)
        return self.contexts

    def seed(self) -> int:
        """Draw a seed."""
        return int(self._rng.integers(2**31))

    def seen(self) -> tuple[Float32Array, Float32Array]:
        """Return the features as the network sees them, and what each action brings less than the best one does.

        That is what the action brings, but for what all have in common, which only adds noise. In units of the first
        deviation of the rewards.
        """
        regret = self.contexts.rewards - self.contexts.rewards.max(axis=1, keepdims=True)
        return seen_by(self.normaliser, self.contexts.rows), regret / self._scale


def _settings(config: TrainConfig) -> dict[str, Any]:
    """Return the settings of the algorithm; by default those that suit learning from the action taken."""
    if config.batch_size is not None or config.n_steps is not None or config.gradient_steps is not None:
        return hyperparameters(config)
    return hyperparameters(config) | _FROM_ONE_ACTION[config.algorithm]


def _build(config: TrainConfig, env: ContextVecEnv, device: str) -> BaseAlgorithm:
    values = _settings(config)
    first = values["learning_rate"]
    values["learning_rate"] = LinearSchedule(first, LAST_RATE_SHARE * first, 1 - LAST_RATE_SHARE)
    widths = [HIDDEN, HIDDEN]
    layers: Any = widths if config.algorithm == "dqn" else {"pi": widths, "vf": widths}
    policy = {"net_arch": layers, "activation_fn": nn.ReLU}
    algorithm = _ALGORITHMS[config.algorithm]
    model = algorithm("MlpPolicy", env, policy_kwargs=policy, gamma=0.0, seed=config.seed, device=device, **values)
    model.set_logger(Logger(folder=None, output_formats=[]))  # by default it makes a folder in /tmp
    return model


class _Follow(BaseCallback):
    """Reports, averages the weights and replays the span while Stable-Baselines3 trains."""

    def __init__(
        self, env: ContextVecEnv, source: _Source, on_metric: OnMetric, on_progress: OnProgress, timesteps: int
    ) -> None:
        super().__init__()
        self._env, self._source = env, source
        self._on_metric, self._on_progress, self._timesteps = on_metric, on_progress, timesteps
        self._rewards: list[float] = []
        self._mean: list[torch.Tensor] = []
        self._updates = 0
        self._next_report = 0
        self._next_replay = timesteps // RESYNCS

    def net(self) -> DecisionNet:
        """Return the network of the averaged weights."""
        return _net(self._mean)

    def _on_training_start(self) -> None:
        self._learn_from_replay()

    def _learn_from_replay(self) -> None:
        """Fit the network to the decisions of the latest replay, from which the algorithm then draws its own."""
        rows, rewards = self._source.seen()
        self._env.load(rows, rewards)
        warm_start(layers_of(self.model.policy), rows, rewards, isinstance(self.model, DQN), self._source.seed())

    def _on_step(self) -> bool:
        self._rewards.append(float(self.locals["rewards"].mean()))
        return True

    def _on_rollout_end(self) -> None:
        done = self.num_timesteps
        if done >= AVERAGED_SHARE * self._timesteps:
            self._average()
        if self._next_report <= done:
            self._next_report = done + self._timesteps // REPORTS
            self._report()
        if self._next_replay <= done < self._timesteps:
            self._next_replay += self._timesteps // RESYNCS
            contexts = self._source.replay(_net(self._weights()).compiled(self._source.normaliser))
            self._learn_from_replay()
            self._on_metric("training_hit_ratio", contexts.hit_ratio, done)

    def _on_training_end(self) -> None:
        self._average()
        self._report()

    def _weights(self) -> list[torch.Tensor]:
        return [p.detach().cpu().clone() for layer in layers_of(self.model.policy) for p in layer.parameters()]

    def _average(self) -> None:
        self._updates += 1
        self._mean = self._mean or [torch.zeros_like(weights) for weights in self._weights()]
        for mean, new in zip(self._mean, self._weights(), strict=True):
            mean += (new - mean) / self._updates

    def _report(self) -> None:
        if self._rewards:
            self._on_metric("reward", float(np.mean(self._rewards)), self.num_timesteps)
            self._rewards.clear()
        loss = latest_loss(self.model)
        if loss is not None:
            self._on_metric("loss", loss, self.num_timesteps)
        self._on_progress(min(self.num_timesteps, self._timesteps), self._timesteps)


def _net(weights: list[torch.Tensor]) -> DecisionNet:
    net = DecisionNet(weights[0].shape[1], weights[-1].shape[0])
    for parameter, value in zip(net.parameters(), weights, strict=True):
        parameter.data.copy_(value)
    return net
