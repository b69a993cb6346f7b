"""The batched environment that Stable-Baselines3 trains on: 64 caches in one compiled kernel."""

from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from cachesim.rollout import Decisions
from envs.batched import BatchedVecEnv

Reward = Literal["advantage", "standardised"]
SMALLEST_DEVIATION = 0.01  # of the worths of a decision; a hit is worth about 1


class EvictionVecEnv(BatchedVecEnv):
    """Caches that wait for decisions, as one vectorised environment of `ers/CacheEviction-v0`.

    Observations are float32 (k, f), transformed and standardised as the exported policy does it. With reward
    "advantage", r = mean_j c_j - c_action, where c is what keeping a candidate is worth (see `cachesim.rollout`); with
    "standardised" it is divided by the standard deviation of the c_j, for who predicts rewards: each decision then
    counts alike, also among candidates that are worth little. An episode ends, truncated, where the span ends.
    """

    judged: NDArray[np.float32]  # (batch, k), what keeping the candidates of the latest decisions was worth

    def __init__(self, decisions: Decisions, reward: Reward) -> None:
        batch, candidates, n_features = decisions.rows.shape
        box = gym.spaces.Box(-8.0, 8.0, (candidates, n_features), np.float32)
        super().__init__(batch, box, gym.spaces.Discrete(candidates))
        self.decisions = decisions
        self._standardised = reward == "standardised"
        self.judged = np.zeros((batch, candidates), np.float32)

    def reset(self) -> NDArray[np.float32]:
        return self.decisions.reset().copy()

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        worths = self.decisions.worths
        self.judged = worths.astype(np.float32)
        rewards = worths.mean(axis=1) - worths[np.arange(self.num_envs), self._actions]
        if self._standardised:
            rewards /= worths.std(axis=1) + SMALLEST_DEVIATION
        done = self.decisions.step(self._actions).copy()
        observations = self.decisions.rows.copy()
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for b in np.flatnonzero(done):  # the discount is 0: what a terminal observation holds does not matter
            infos[b] = {"terminal_observation": observations[b], "TimeLimit.truncated": True}
        return observations, rewards.astype(np.float32), done, infos
