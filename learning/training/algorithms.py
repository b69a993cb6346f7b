"""The three learning algorithms with the settings that suit a contextual bandit.

The discount is 0: what an action costs already holds the known future, so each decision is judged alone. Every default
can be overridden by the options of the same name.
"""

import warnings
from collections.abc import Callable
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from envs.vector import DecisionVecEnv
from learning.training.bandits import BanditA2C, BanditDQN, BanditPPO
from learning.training.buffers import JudgedReplay, JudgedRollout
from learning.training.initial_decisions import PARALLEL_CACHES
from learning.training.losses import Loss, advantage_loss, regret_loss, value_loss
from learning.training.sb3_policies import BanditActor, BanditDQNPolicy
from schemas.options.train import OWN_OPTIONS, Algorithm, TrainConfig

LAST_RATE_SHARE = 0.05  # of the first learning rate

LOSS: dict[Algorithm, Loss] = {"dqn": advantage_loss, "ppo": regret_loss, "a2c": regret_loss}
"""What the algorithm makes small in learning an eviction, and online continuation after it."""

_DEFAULTS: dict[Algorithm, dict[str, Any]] = {
    # Mnih et al., "Human-level control through deep reinforcement learning", Nature 2015.
    "dqn": {
        "learning_rate": 2e-3,
        "batch_size": 256,
        "buffer_size": 100_000,
        "learning_starts": 4_096,
        "train_freq": 4,
        "gradient_steps": 1,
        "exploration_fraction": 0.3,
        "exploration_final_eps": 0.1,
    },
    # Schulman et al., "Proximal Policy Optimization Algorithms", 2017.
    "ppo": {"learning_rate": 2e-3, "batch_size": 256, "n_steps": 32, "n_epochs": 2, "ent_coef": 0.003},
    # Mnih et al., "Asynchronous Methods for Deep Reinforcement Learning", ICML 2016; with Adam.
    "a2c": {
        "learning_rate": 2e-3,
        "n_steps": 4,
        "ent_coef": 0.003,
        "use_rms_prop": False,
    },
}


# Candidates are all scored by the same net. An action at a miss whose chance has vanished is never learned again: more
# entropy keeps it alive (docs/decisions/0013).
_ON_MISSES: dict[Algorithm, dict[str, Any]] = {"dqn": {}, "ppo": {"ent_coef": 0.1}, "a2c": {"ent_coef": 0.1}}


def hyperparameters(config: TrainConfig) -> dict[str, Any]:
    """Return the settings of the algorithm: its defaults under what `config` overrides.

    A2C makes one gradient step of a whole rollout: its batch size sets the rollout, batch_size / 64 steps of 64 caches.
    """
    values = dict(_DEFAULTS[config.algorithm])
    if config.decision != "eviction":
        values |= _ON_MISSES[config.algorithm]
    given = {name: getattr(config, name) for name in ("learning_rate", *OWN_OPTIONS[config.algorithm])}
    values |= {name: value for name, value in given.items() if value is not None}
    if config.batch_size is not None and config.algorithm == "a2c":
        values["n_steps"] = max(1, config.batch_size // PARALLEL_CACHES)
    elif config.batch_size is not None:
        values["batch_size"] = config.batch_size
    if config.algorithm == "ppo":
        values["batch_size"] = min(values["batch_size"], values["n_steps"] * PARALLEL_CACHES)
    if config.algorithm == "dqn":
        values["buffer_size"] = min(values["buffer_size"], max(config.timesteps, PARALLEL_CACHES))
        values["learning_starts"] = min(values["learning_starts"], config.timesteps // 4)
    return values


def build(config: TrainConfig, env: DecisionVecEnv, device: str) -> BaseAlgorithm:
    """Return the Stable-Baselines3 algorithm that `config` asks for, on `env`."""
    values = hyperparameters(config)
    values["learning_rate"] = _falling(values["learning_rate"])
    common = {"gamma": 0.0, "seed": config.seed, "device": device, **values}
    if config.algorithm == "dqn":
        loss = advantage_loss if config.decision == "eviction" else value_loss
        return BanditDQN(BanditDQNPolicy, env, replay_buffer_class=JudgedReplay, loss=loss, **common)
    algorithm = BanditPPO if config.algorithm == "ppo" else BanditA2C
    judged: dict[str, Any] = {"rollout_buffer_class": JudgedRollout, "rollout_buffer_kwargs": {"env": env}}
    with warnings.catch_warnings():  # of a last batch that is smaller, and of a GPU that was asked for
        warnings.filterwarnings("ignore", category=UserWarning, module="stable_baselines3")
        return algorithm(BanditActor, env, **judged, **common)


def latest_loss(model: BaseAlgorithm) -> float | None:
    """Return the loss of the latest gradient step; None before the first one."""
    loss = model.logger.name_to_value.get("train/loss")
    return None if loss is None else float(loss)


def _falling(first: float) -> Callable[[float], float]:
    """Return a schedule that falls linearly from `first` as the progress that remains goes from 1 to 0.

    It stays above 0, or the last update would teach nothing, and a run of a single one nothing at all.
    """
    return lambda remaining: first * max(remaining, LAST_RATE_SHARE)
