"""A2C, PPO and DQN for a contextual bandit that tells the rewards of all its actions.

The recorded future judges every action of a decision, not just the one that is taken. Stable-Baselines3's three
algorithms explore, roll out and schedule here as ever; their gradient steps take all rewards in place of one, so that
an update has no noise from the actions that happened to be taken, and no critic is needed to take it out. As the
discount is 0, nothing follows a decision that would have to be estimated.

Source of the idea: Asadi, Allen, Roderick, Mohamed, Konidaris, Littman, "Mean Actor-Critic", 2017.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import A2C, DQN, PPO
from torch.nn.functional import log_softmax

from learning.training.buffers import JudgedReplay, JudgedRollout
from learning.training.losses import Loss, clipped_loss, regret_loss
from learning.training.sb3_policies import net_of


class BanditA2C(A2C):
    """One step down the gradient of what the policy is expected to lose, a rollout.

    Source: Mnih et al., "Asynchronous Methods for Deep Reinforcement Learning", ICML 2016.
    """

    rollout_buffer: JudgedRollout

    def train(self) -> None:
        self._update_learning_rate(self.policy.optimizer)
        rows, costs = self.rollout_buffer.decisions()
        self.logger.record("train/loss", _descend(self, regret_loss(net_of(self.policy)(rows), costs, self.ent_coef)))
        self._n_updates += 1


class BanditPPO(PPO):
    """Several passes over a rollout, with the clipped objective summed over all actions.

    Source: Schulman et al., "Proximal Policy Optimization Algorithms", 2017.
    """

    rollout_buffer: JudgedRollout

    def train(self) -> None:
        self._update_learning_rate(self.policy.optimizer)
        net, clip = net_of(self.policy), float(self.clip_range(self._current_progress_remaining))  # type: ignore[operator]
        rows, costs = self.rollout_buffer.decisions()
        with torch.no_grad():
            before = log_softmax(net(rows), dim=1)  # (m, k)
        losses = []
        for _ in range(self.n_epochs):
            for batch in torch.split(torch.from_numpy(np.random.permutation(len(rows))), self.batch_size):
                loss = clipped_loss(net(rows[batch]), costs[batch], before[batch], clip, self.ent_coef)
                losses.append(_descend(self, loss))
        self._n_updates += self.n_epochs
        self.logger.record("train/loss", float(np.mean(losses)))


class BanditDQN(DQN):
    """Q-values of all actions of a decision are fitted to its rewards. No target network is asked.

    Source: Mnih et al., "Human-level control through deep reinforcement learning", Nature 2015.
    """

    replay_buffer: JudgedReplay

    def __init__(self, *args: Any, loss: Loss, **kwargs: Any) -> None:
        self._loss = loss
        super().__init__(*args, **kwargs)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        self._update_learning_rate(self.policy.optimizer)
        net, losses = net_of(self.policy), []
        for _ in range(gradient_steps):
            rows, costs = self.replay_buffer.draw(batch_size)
            losses.append(_descend(self, self._loss(net(rows), costs)))
        self._n_updates += gradient_steps
        self.logger.record("train/loss", float(np.mean(losses)))

    def _store_transition(
        self,
        replay_buffer: Any,
        buffer_action: NDArray[np.int64],
        new_obs: Any,
        reward: NDArray[np.float32],
        dones: NDArray[np.bool_],
        infos: list[dict[str, Any]],
    ) -> None:
        env: Any = self.env
        replay_buffer.store(self._last_obs, env.judged)
        self._last_obs = new_obs


def _descend(model: A2C | PPO | DQN, loss: torch.Tensor) -> float:
    """Take one gradient step; return the loss before it."""
    model.policy.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.policy.parameters(), model.max_grad_norm)
    model.policy.optimizer.step()
    return loss.item()
