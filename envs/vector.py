"""The batched environment that Stable-Baselines3 trains on: 64 caches in one compiled kernel."""

from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from cachesim.rollout import Decisions
from cachesim.scorer import Scorer
from envs.batched import BatchedVecEnv

Reward = Literal["advantage", "loss"]


class EvictionVecEnv(BatchedVecEnv):
    """Caches that wait for decisions, as one vectorised environment of `ers/CacheEviction-v0`.

    Observations are float32 (k, f), transformed and standardised as the exported policy does it. With reward
    "advantage", r = mean_j c_j - c_action; with "loss", r = -c_action, where c is what keeping a candidate is worth
    (see `cachesim.rollout`). An episode ends, truncated, where the span ends or when `resync` loads new states.
    """

    def __init__(self, decisions: Decisions, reward: Reward) -> None:
        batch, candidates, n_features = decisions.rows.shape
        box = gym.spaces.Box(-8.0, 8.0, (candidates, n_features), np.float32)
        super().__init__(batch, box, gym.spaces.Discrete(candidates))
        self.decisions = decisions
        self._relative = reward == "advantage"
        self._resynced = False

    def resync(self, scorer: Scorer) -> float:
        """Go on, from the next step, from the states that `scorer` meets; return its hit ratio on the span."""
        self._resynced = True
        return self.decisions.resync(scorer)

    def reset(self) -> NDArray[np.float32]:
        self._resynced = False
        return self.decisions.reset().copy()

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        worths = self.decisions.worths
        rewards = -worths[np.arange(self.num_envs), self._actions]
        if self._relative:
            rewards += worths.mean(axis=1)
        if self._resynced:
            observations, done = self.reset(), np.ones(self.num_envs, np.bool_)
        else:
            done = self.decisions.step(self._actions).copy()
            observations = self.decisions.rows.copy()
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for b in np.flatnonzero(done):  # the discount is 0: what a terminal observation holds does not matter
            infos[b] = {"terminal_observation": observations[b], "TimeLimit.truncated": True}
        return observations, rewards.astype(np.float32), done, infos
