"""Memories of decisions whose actions were all judged: what was seen, and what each action would have cost."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer

from envs.vector import DecisionVecEnv

Judged = tuple[torch.Tensor, torch.Tensor]  # features (m, ..., f) and costs (m, actions)


class JudgedRollout(RolloutBuffer):
    """The decisions of a rollout, for A2C and PPO.

    Args:
        env: says what each action would have cost at the decisions just made.
        args, kwargs: as Stable-Baselines3's buffer takes them.
    """

    def __init__(self, *args: Any, env: DecisionVecEnv, **kwargs: Any) -> None:
        self._env = env
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        super().reset()
        self.costs = np.zeros((self.buffer_size, *self._env.judged.shape), np.float32)  # (steps, batch, actions)

    def add(self, *args: Any, **kwargs: Any) -> None:
        self.costs[self.pos] = self._env.judged
        super().add(*args, **kwargs)

    def decisions(self) -> Judged:
        """Return all decisions of the rollout."""
        rows, costs = _flat(self.observations), _flat(self.costs)
        return torch.from_numpy(rows).to(self.device), torch.from_numpy(costs).to(self.device)


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
        shape = self.buffer_size, n_envs, int(action_space.n)
        self.costs = np.zeros(shape, np.float32)

    def store(self, rows: NDArray[np.float32], costs: NDArray[np.float32]) -> None:
        """Keep a round of decisions: features (batch, ..., f) and costs (batch, actions)."""
        self.observations[self.pos], self.costs[self.pos] = rows, costs
        self.pos = (self.pos + 1) % self.buffer_size
        self.full = self.full or self.pos == 0

    def draw(self, batch_size: int) -> Judged:
        """Return so many decisions, each drawn from all that are kept."""
        drawn = np.random.randint(0, self.kept * self.n_envs, batch_size)  # SB3 seeds and draws from the global state
        rows, costs = _flat(self.observations)[drawn], _flat(self.costs)[drawn]
        return torch.from_numpy(rows).to(self.device), torch.from_numpy(costs).to(self.device)

    @property
    def kept(self) -> int:
        """Rounds that are kept, each of one decision in each environment."""
        return self.buffer_size if self.full else self.pos


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(-1, *array.shape[2:])
