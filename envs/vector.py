"""The batched environment that Stable-Baselines3 trains on: 64 decisions at a time from one compiled kernel."""

from collections.abc import Iterable
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from cachesim.features.table import STANDARD_LIMIT, Float32Array, Normaliser
from schemas.trace import IntArray


class Decisions(Protocol):
    """A batch of decisions on the training span that wait for actions: `rollout.Decisions`, `drawn.DrawnDecisions`.

    Attributes:
        normaliser: the transform and standardisation of the features.
        rows: float32 (batch, ..., f), what is decided on, transformed.
        costs: float (batch, actions), what each action costs.
    """

    normaliser: Normaliser
    rows: Float32Array
    costs: NDArray[Any]

    def resync(self, policy: Any, /) -> NDArray[np.bool_]:
        """Replay the span with the compiled policy in charge, go on from what it meets; return which requests hit."""

    def reset(self) -> Float32Array:
        """Go to new decisions and return `rows`."""

    def step(self, actions: IntArray, /) -> NDArray[np.bool_]:
        """Act, go on to the next decisions, and return which of them are not of the same episode."""

    def random_state(self) -> dict[str, Any]:
        """Return the state of all that draws at random."""

    def restore_random(self, state: dict[str, Any], /) -> None:
        """Go on drawing as after `random_state`."""


class DecisionVecEnv(VecEnv):
    """Decisions as one vectorised environment.

    Observations are float32 (..., f), transformed and standardised as the exported policy does it: (k, f) of the
    candidates of an eviction, (f,) of a miss. The reward is what the action costs less than a random one would:
    r = mean_j cost_j - cost_action. An episode ends, truncated, where the span ends.

    Attributes:
        decisions: where the decisions come from.
        judged: float32 (batch, actions), what each action would have cost at the decisions just made.
    """

    render_mode = None  # asked for by the base class

    def __init__(self, decisions: Decisions) -> None:
        batch, *shape = decisions.rows.shape
        box = gym.spaces.Box(-STANDARD_LIMIT, STANDARD_LIMIT, tuple(shape), np.float32)
        super().__init__(batch, box, gym.spaces.Discrete(decisions.costs.shape[1]))
        self.decisions = decisions
        self.judged = np.zeros(decisions.costs.shape, np.float32)
        self._actions = np.zeros(batch, np.int64)

    def reset(self) -> Float32Array:
        return self.decisions.reset().copy()

    def step_async(self, actions: NDArray[np.int64]) -> None:
        self._actions = np.asarray(actions, np.int64)

    def step_wait(self) -> tuple[Float32Array, Float32Array, NDArray[np.bool_], list[dict[str, Any]]]:
        costs = self.decisions.costs
        self.judged = costs.astype(np.float32)
        rewards = costs.mean(axis=1) - costs[np.arange(self.num_envs), self._actions]
        done = self.decisions.step(self._actions).copy()
        observations = self.decisions.rows.copy()
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for b in np.flatnonzero(done):  # the discount is 0: what a terminal observation holds does not matter
            infos[b] = {"terminal_observation": observations[b], "TimeLimit.truncated": True}
        return observations, rewards.astype(np.float32), done, infos

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        setattr(self, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: int | Iterable[int] | None = None, **method_kwargs: Any
    ) -> list[Any]:
        return [getattr(self, method_name)(*method_args, **method_kwargs) for _ in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper], indices: int | Iterable[int] | None = None
    ) -> list[bool]:
        return [False for _ in self._get_indices(indices)]
