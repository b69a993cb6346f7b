"""The batched environment of decisions on misses: each step is one of those that a cache met, drawn at random."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from cachesim.features import STANDARD_LIMIT, Float32Array
from envs.batched import BatchedVecEnv


class ContextVecEnv(BatchedVecEnv):
    """A contextual bandit over a table of decisions, as a vectorised environment.

    Each decision is judged alone, so that their order does not matter: shuffled, a batch is as varied as the span.
    Each step is an episode. Observations are float32 (f,), as the network sees them.

    Args:
        batch: decisions a step.
        seed: of the draws.
    """

    def __init__(self, rows: Float32Array, rewards: Float32Array, batch: int, seed: int) -> None:
        box = gym.spaces.Box(-STANDARD_LIMIT, STANDARD_LIMIT, rows.shape[1:], np.float32)
        super().__init__(batch, box, gym.spaces.Discrete(rewards.shape[1]))
        self._rng = np.random.default_rng(seed)
        self.load(rows, rewards)

    def load(self, rows: Float32Array, rewards: Float32Array) -> None:
        """Draw from other decisions from now on: rows (m, f) and what each action brings there (m, actions)."""
        self._rows, self._rewards = rows, rewards
        self._drawn = self._draw()

    def _draw(self) -> NDArray[np.int64]:
        return self._rng.integers(0, len(self._rows), self.num_envs)

    def reset(self) -> Float32Array:
        self._drawn = self._draw()
        return self._rows[self._drawn]

    def step_wait(self) -> tuple[Float32Array, Float32Array, NDArray[np.bool_], list[dict[str, Any]]]:
        rewards = self._rewards[self._drawn, self._actions]
        observations = self.reset()
        infos: list[dict[str, Any]] = [{"terminal_observation": row} for row in observations]
        return observations, rewards, np.ones(self.num_envs, np.bool_), infos
