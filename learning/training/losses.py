"""What the network learns from when the cost of every action is known, not just that of the one it took."""

from collections.abc import Callable

import torch
from torch.nn.functional import log_softmax, mse_loss, softmax

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # of scores (m, actions) and costs (m, actions)
SMALLEST_DEVIATION = 0.01  # of the costs of a decision; a hit is worth about 1
ENTROPY_WEIGHT = 0.003
SHARPNESS = 10.0  # of the weights in DQN's loss, per standard deviation of the costs of a decision


def regret_loss(scores: torch.Tensor, costs: torch.Tensor, entropy_weight: float = ENTROPY_WEIGHT) -> torch.Tensor:
    """Return what is lost when actions are taken as the scores say, less a little for the entropy.

    Args:
        scores: float (m, k), logits of k actions, in m decisions.
        costs: float (m, k), what each costs.
        entropy_weight: >= 0.

    Returns:
        float (), in standard deviations of the cost around the mean of its decision.
    """
    log_chance = log_softmax(scores, dim=1)  # (m, k)
    lost = (log_chance.exp() * _relative(costs)).sum(dim=1).mean()
    return lost - entropy_weight * _entropy(log_chance)


def clipped_loss(
    scores: torch.Tensor, costs: torch.Tensor, before: torch.Tensor, clip: float, entropy_weight: float
) -> torch.Tensor:
    """Return the same where a chance that has gone far enough since the rollout counts no more (PPO).

    Args:
        scores, costs, entropy_weight: as above.
        before: float (m, k), logarithms of the chances when the decisions were made.
        clip: > 0; a ratio of chances counts within 1 - clip and 1 + clip.
    """
    log_chance = log_softmax(scores, dim=1)  # (m, k)
    ratio, relative = (log_chance - before).exp(), _relative(costs)
    lost = torch.maximum(ratio * relative, ratio.clamp(1 - clip, 1 + clip) * relative)
    return (before.exp() * lost).sum(dim=1).mean() - entropy_weight * _entropy(log_chance)


def _relative(costs: torch.Tensor) -> torch.Tensor:
    """Return the costs (m, k) around the mean of their decision, in their standard deviation over all decisions."""
    relative = costs - costs.mean(dim=1, keepdim=True)
    return relative / (relative.std() + 1e-8)


def _entropy(log_chance: torch.Tensor) -> torch.Tensor:
    return -(log_chance.exp() * log_chance).sum(dim=1).mean()


def value_loss(scores: torch.Tensor, costs: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error of the scores, as advantages of the actions at a miss, for DQN.

    The scale is the same for all decisions: an action that rarely costs, but then much, must not seem a good one.

    Args:
        scores: float (m, k), of k actions in m decisions; what they have in common does not count.
        costs: float (m, k), what each costs.

    Returns:
        float (), of advantages in their standard deviation over all decisions.
    """
    return mse_loss(scores - scores.mean(dim=1, keepdim=True), -_relative(costs))


def advantage_loss(scores: torch.Tensor, costs: torch.Tensor) -> torch.Tensor:
    """Return the weighted mean squared error of the scores, as advantages of dropping each candidate, for DQN.

    Only which candidate is best matters, so that each decision counts alike. The weight of a candidate is its chance in
    a softmax of `SHARPNESS` times the scores, which is not differentiated: where the scores are high they decide what
    is dropped, an error among the others changes nothing. It was measured in docs/decisions/0014.

    Args:
        scores: float (m, k), of k actions in m decisions; what they have in common does not count.
        costs: float (m, k), what each costs.

    Returns:
        float (), of advantages in standard deviations of the costs of a decision.
    """
    advantages = costs.mean(dim=1, keepdim=True) - costs
    deviation = costs.std(dim=1, correction=0, keepdim=True) + SMALLEST_DEVIATION
    relative = scores - scores.mean(dim=1, keepdim=True)
    weights = softmax(SHARPNESS * relative.detach(), dim=1)  # (m, k)
    return (weights * (relative - advantages / deviation) ** 2).sum(dim=1).mean()
