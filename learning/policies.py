"""The Stable-Baselines3 policies around the shared scorer: one score a candidate is one logit or Q-value an action."""

from typing import Any, cast

import gymnasium as gym
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import nn

from learning.scorer import HIDDEN, ScorerNet


class Unchanged(BaseFeaturesExtractor):
    """Hands the observation (batch, k, f) on as it is."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, features_dim=observation_space.shape[-1])

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return observations


class ScorerAndCritic(nn.Module):
    """Logits (batch, k) from the scorer, and for the critic mean and max (batch, 64) of a layer over the candidates."""

    def __init__(self, n_features: int, candidates: int) -> None:
        super().__init__()
        self.scorer = ScorerNet(n_features)
        self.critic = nn.Sequential(nn.Linear(n_features, HIDDEN), nn.ReLU())
        self.latent_dim_pi, self.latent_dim_vf = candidates, 2 * HIDDEN

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.forward_actor(x), self.forward_critic(x)

    def forward_actor(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.scorer(x)  # (batch, k)
        return logits

    def forward_critic(self, x: torch.Tensor) -> torch.Tensor:
        each = self.critic(x)  # (batch, k, hidden)
        return torch.cat([each.mean(dim=1), each.amax(dim=1)], dim=1)


class SharedScorerActorCritic(ActorCriticPolicy):
    """For PPO and A2C: the logits of the k actions are the scores of the k candidates."""

    mlp_extractor: ScorerAndCritic  # type: ignore[assignment]  # annotated as Stable-Baselines3's own extractor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"features_extractor_class": Unchanged, "ortho_init": False, **kwargs})

    def _build_mlp_extractor(self) -> None:
        candidates, n_features = shape_of(self.observation_space)
        self.mlp_extractor = ScorerAndCritic(n_features, candidates)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Identity()  # the logits are ready; the optimiser needs no weights of a last layer


class SharedScorerQNetwork(QNetwork):
    """The Q-values of the k actions are the scores of the k candidates, less their mean.

    The reward of an action is its advantage over a random one, so that the value of a state is 0 and the rest of a
    duelling network remains: Wang et al., "Dueling Network Architectures for Deep Reinforcement Learning", ICML 2016.
    """

    q_net: ScorerNet  # type: ignore[assignment]  # annotated as a Sequential

    def forward(self, obs: Any) -> torch.Tensor:
        scores: torch.Tensor = self.q_net(obs)  # (batch, k)
        return scores - scores.mean(dim=1, keepdim=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.q_net = ScorerNet(shape_of(self.observation_space)[1])


class SharedScorerDQN(DQNPolicy):
    """For DQN."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"features_extractor_class": Unchanged, **kwargs})

    def make_q_net(self) -> QNetwork:
        arguments = self._update_features_extractor(self.net_args, features_extractor=None)
        return SharedScorerQNetwork(**arguments).to(self.device)


def scorer_of(policy: nn.Module) -> ScorerNet:
    """Return the scorer inside either policy."""
    if isinstance(policy, SharedScorerDQN):
        return cast(SharedScorerQNetwork, policy.q_net).q_net
    return cast(SharedScorerActorCritic, policy).mlp_extractor.scorer


def shape_of(space: gym.Space[Any]) -> tuple[int, int]:
    """Return (k, f) of an observation space of candidates."""
    candidates, n_features = cast(gym.spaces.Box, space).shape
    return candidates, n_features
