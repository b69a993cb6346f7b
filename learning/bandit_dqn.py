"""DQN for a discount of 0: what follows a decision is neither stored nor looked at."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch.nn import functional


class DecisionBuffer(ReplayBuffer):
    """The latest decisions: observation, action and reward of each. Half the memory of what DQN keeps by default."""

    def __init__(
        self,
        buffer_size: int,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        device: torch.device | str = "auto",
        n_envs: int = 1,
        **_: Any,
    ) -> None:
        # `optimize_memory_usage` leaves out the array of next observations.
        super().__init__(buffer_size, observation_space, action_space, device, n_envs, True, False)

    def add(
        self,
        obs: NDArray[np.float32],
        next_obs: NDArray[np.float32],
        action: NDArray[np.int64],
        reward: NDArray[np.float32],
        done: NDArray[np.bool_],
        infos: list[dict[str, Any]],
    ) -> None:
        self.observations[self.pos] = obs
        self.actions[self.pos, :, 0] = action
        self.rewards[self.pos] = reward
        self.pos = (self.pos + 1) % self.buffer_size
        self.full = self.full or self.pos == 0

    def sample(self, batch_size: int, env: Any = None) -> ReplayBufferSamples:
        """Return `batch_size` decisions, each drawn from all that are kept."""
        drawn = np.random.randint(0, self.kept * self.n_envs, batch_size)  # SB3 seeds and draws from the global state
        observations = torch.from_numpy(self._flat(self.observations)[drawn]).to(self.device)  # (batch, k, f)
        actions = torch.from_numpy(self._flat(self.actions)[drawn]).to(self.device)  # (batch, 1)
        rewards = torch.from_numpy(self.rewards.reshape(-1, 1)[drawn]).to(self.device)  # (batch, 1)
        return ReplayBufferSamples(observations, actions, observations, torch.zeros_like(rewards), rewards)

    @property
    def kept(self) -> int:
        """Rounds that are kept, each of one decision in each environment."""
        return self.buffer_size if self.full else self.pos

    @staticmethod
    def _flat(array: NDArray[Any]) -> NDArray[Any]:
        return array.reshape(-1, *array.shape[2:])


class BanditDQN(DQN):
    """DQN whose targets are the rewards, as they are with a discount of 0. No target network is asked.

    Source: Mnih et al., "Human-level control through deep reinforcement learning", Nature 2015.
    """

    replay_buffer: DecisionBuffer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"replay_buffer_class": DecisionBuffer, "gamma": 0.0, **kwargs})

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        weights = list(self.q_net.parameters())
        losses = []
        for _ in range(gradient_steps):
            drawn = self.replay_buffer.sample(batch_size)
            values = self.q_net(drawn.observations).gather(1, drawn.actions)  # (batch, 1)
            loss = functional.smooth_l1_loss(values, drawn.rewards)
            self.policy.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights, self.max_grad_norm)
            self.policy.optimizer.step()
            losses.append(loss.item())
        self._n_updates += gradient_steps
        self.logger.record("train/loss", float(np.mean(losses)))

    def _store_transition(
        self,
        replay_buffer: ReplayBuffer,
        buffer_action: NDArray[np.int64],
        new_obs: Any,
        reward: NDArray[np.float32],
        dones: NDArray[np.bool_],
        infos: list[dict[str, Any]],
    ) -> None:
        replay_buffer.add(self._last_obs, new_obs, buffer_action, reward, dones, infos)  # type: ignore[arg-type]
        self._last_obs = new_obs
