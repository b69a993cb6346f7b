"""The network of a decision on misses, and its way out of Stable-Baselines3."""

from typing import cast

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.dqn.policies import DQNPolicy
from torch import nn

from cachesim.decider import Decider, build_decider
from cachesim.features import Float32Array, Normaliser

HIDDEN = 32


class DecisionNet(nn.Module):
    """Scores the actions: f -> 32 -> 32 -> actions with ReLU; the highest is taken.

    Takes float32 (..., f), transformed features; returns float32 (..., actions).
    """

    def __init__(self, n_features: int, actions: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.widths = (hidden, hidden)
        self.first = nn.Linear(n_features, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, actions)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))  # (..., hidden)
        x = torch.relu(self.second(x))  # (..., hidden)
        scores: torch.Tensor = self.last(x)  # (..., actions)
        return scores

    def compiled(self, normaliser: Normaliser) -> Decider:
        """Return a copy of the weights for the compiled replay."""
        return build_decider(normaliser, *(_array(parameter) for parameter in self.parameters()))


def _array(parameter: torch.Tensor) -> Float32Array:
    values: Float32Array = parameter.detach().cpu().numpy()
    return values


def layers_of(policy: nn.Module) -> list[nn.Linear]:
    """Return the three layers that give the scores in an MLP policy of Stable-Baselines3."""
    if isinstance(policy, DQNPolicy):
        parts: list[nn.Module] = [policy.q_net.q_net]
    else:
        actor_critic = cast(ActorCriticPolicy, policy)
        parts = [actor_critic.mlp_extractor.policy_net, actor_critic.action_net]
    return [layer for part in parts for layer in part.modules() if isinstance(layer, nn.Linear)]
