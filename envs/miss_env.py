"""What the environments of decisions on misses have in common."""

from typing import Any

import gymnasium as gym
import numpy as np

from cachesim.features.table import Float32Array
from cachesim.miss.problem import Setting
from cachesim.miss.replay import Steps
from schemas.errors import ConfigError, GateError

NO_DECISION = "no request of the trace leaves anything to decide: there is nothing to learn; give another capacity"


class MissEnv(gym.Env[Float32Array, np.int64]):
    """A cache whose misses are decided one by one; the two decisions differ in their setting alone."""

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(self, setting: Setting) -> None:
        self._steps = Steps(setting)
        if not self._steps.reset(seed=0, position=0):
            raise GateError(NO_DECISION)
        low = np.array([feature.low for feature in setting.features], np.float32)
        high = np.array([feature.high for feature in setting.features], np.float32)
        self.observation_space = gym.spaces.Box(low, high, dtype=np.float32)
        self.action_space = gym.spaces.Discrete(setting.ladder_s.size)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Empty the cache at a random request, or at `options["position"]`, and go to the first decision."""
        super().reset(seed=seed)
        drawn, position = int(self.np_random.integers(2**31)), self._position(options or {})
        if not self._steps.reset(drawn, position):
            self._steps.reset(drawn, 0)
        return self._steps.row.copy(), {}

    def _position(self, options: dict[str, Any]) -> int:
        n = len(self._steps.setting.trace)
        position = int(options.get("position", self.np_random.integers(max(1, n // 2))))
        if not 0 <= position < n:
            raise ConfigError(f"options: position must lie in [0, {n}), got {position}")
        return position

    def step(self, action: np.int64) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Take the action and go on to the next decision."""
        reward = self._steps.step(int(action))
        truncated = not self._steps.advance()
        return self._steps.row.copy(), reward, False, truncated, {}
