"""Memories of decisions whose candidates were all judged: what was seen, and what keeping each candidate was worth."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer

from envs.vector import EvictionVecEnv

Judged = tuple[torch.Tensor, torch.Tensor]  # features (m, k, f) and worths (m, k)


class JudgedRollout(RolloutBuffer):
    """The decisions of a rollout, for A2C and PPO.

    Args:
        env: says what the candidates of the decisions just taken were worth.
        args, kwargs: as Stable-Baselines3's buffer takes them.
    """

    def __init__(self, *args: Any, env: EvictionVecEnv, **kwargs: Any) -> None:
        self._env = env
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        super().reset()
        self.worths = np.zeros(self.observations.shape[:3], np.float32)  # (steps, caches, k)

    def add(self, *args: Any, **kwargs: Any) -> None:
        self.worths[self.pos] = self._env.judged
        super().add(*args, **kwargs)

    def decisions(self) -> Judged:
        """Return all decisions of the rollout."""
        rows, worths = _flat(self.observations), _flat(self.worths)
        return torch.from_numpy(rows).to(self.device), torch.from_numpy(worths).to(self.device)


class JudgedReplay(ReplayBuffer):
    """The latest decisions, for DQN. What follows a decision is not kept: with a discount of 0 it does not count."""

    def __init__(
        self,
        buffer_size: int,
        observation_space: gym.spaces.Box,
        action_space: gym.spaces.Discrete,
        device: torch.device | str = "auto",
        n_envs: int = 1,
        **_: Any,
    ) -> None:
        # `optimize_memory_usage` leaves out the array of next observations.
        super().__init__(buffer_size, observation_space, action_space, device, n_envs, True, False)
        self.worths = np.zeros(self.observations.shape[:3], np.float32)  # (rounds, caches, k)

    def store(self, rows: NDArray[np.float32], worths: NDArray[np.float32]) -> None:
        """Keep a round of decisions, one of each cache: features (caches, k, f) and worths (caches, k)."""
        self.observations[self.pos], self.worths[self.pos] = rows, worths
        self.pos = (self.pos + 1) % self.buffer_size
        self.full = self.full or self.pos == 0

    def draw(self, batch_size: int) -> Judged:
        """Return so many decisions, each drawn from all that are kept."""
        drawn = np.random.randint(0, self.kept * self.n_envs, batch_size)  # SB3 seeds and draws from the global state
        rows, worths = _flat(self.observations)[drawn], _flat(self.worths)[drawn]
        return torch.from_numpy(rows).to(self.device), torch.from_numpy(worths).to(self.device)

    @property
    def kept(self) -> int:
        """Rounds that are kept, each of one decision in each environment."""
        return self.buffer_size if self.full else self.pos


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(-1, *array.shape[2:])
