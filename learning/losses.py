"""What the network learns from when the worth of every candidate is known, not just that of the one it dropped."""

from collections.abc import Callable

import torch
from torch.nn.functional import log_softmax, mse_loss

from envs.vector import SMALLEST_DEVIATION

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # of scores (m, k) and worths (m, k)
ENTROPY_WEIGHT = 0.003


def regret_loss(scores: torch.Tensor, worths: torch.Tensor) -> torch.Tensor:
    """Return the worth that is lost when candidates are dropped as the scores say, less a little for the entropy.

    The policy gradient with the rewards of all actions in place of the one that was taken, so that nothing has to be
    sampled: Asadi, Allen, Roderick, Mohamed, Konidaris, Littman, "Mean Actor-Critic", 2017; here for a discount of 0.

    Args:
        scores: float (m, k), logits of dropping each of k candidates, in m decisions.
        worths: float (m, k), what keeping each is worth.

    Returns:
        float (), in standard deviations of the worth around the mean of its decision.
    """
    log_chance = log_softmax(scores, dim=1)  # (m, k)
    chance = log_chance.exp()
    lost = worths - worths.mean(dim=1, keepdim=True)
    entropy = -(chance * log_chance).sum(dim=1).mean()
    return (chance * lost).sum(dim=1).mean() / (lost.std() + 1e-8) - ENTROPY_WEIGHT * entropy


def advantage_loss(scores: torch.Tensor, worths: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error of the scores, as advantages of dropping each candidate, for DQN.

    Args:
        scores: float (m, k), of k candidates in m decisions; what they have in common does not count.
        worths: float (m, k), what keeping each is worth.

    Returns:
        float (), of advantages in standard deviations of the worths of a decision, as `EvictionVecEnv` rewards them.
    """
    advantages = worths.mean(dim=1, keepdim=True) - worths
    deviation = worths.std(dim=1, correction=0, keepdim=True) + SMALLEST_DEVIATION
    return mse_loss(scores - scores.mean(dim=1, keepdim=True), advantages / deviation)
