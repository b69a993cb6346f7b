"""The Stable-Baselines3 policies around our networks: each score is the logit or the Q-value of an action."""

from typing import Any, cast

import gymnasium as gym
import torch
from stable_baselines3.common.distributions import CategoricalDistribution, Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import nn

from learning.networks import DecisionNet, PolicyNet, ScorerNet


def net_for(observations: gym.Space[Any], actions: gym.Space[Any]) -> PolicyNet:
    """Return a new network for observations (k, f) of candidates, or (f,) of a miss."""
    assert isinstance(observations, gym.spaces.Box)
    assert isinstance(actions, gym.spaces.Discrete)
    *candidates, n_features = observations.shape
    return ScorerNet(n_features) if candidates else DecisionNet(n_features, int(actions.n))


class Unchanged(BaseFeaturesExtractor):
    """Hands the observation (batch, ..., f) on as it is."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, features_dim=observation_space.shape[-1])

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return observations


class BanditActor(ActorCriticPolicy):
    """For PPO and A2C: the scores are the logits of the actions. The critic always says 0.

    The rewards of all actions are known, so that no critic is needed to tell how good an action is.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"features_extractor_class": Unchanged, **kwargs})

    def _build(self, lr_schedule: Schedule) -> None:
        self.net = net_for(self.observation_space, self.action_space)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def forward(
        self, obs: torch.Tensor, deterministic: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        distribution = self.get_distribution(obs)
        actions = distribution.get_actions(deterministic=deterministic)  # (batch,)
        return actions, self.predict_values(obs), distribution.log_prob(actions)

    def get_distribution(self, obs: Any) -> Distribution:
        logits = self.net(obs)  # (batch, actions)
        return cast(CategoricalDistribution, self.action_dist).proba_distribution(action_logits=logits)

    def predict_values(self, obs: Any) -> torch.Tensor:
        return torch.zeros(len(obs), 1, device=self.device)


class BanditQNetwork(QNetwork):
    """The Q-values of the actions are their scores, less the mean score.

    The reward of an action is its advantage over a random one, so that the value of a state is 0 and the rest of a
    duelling network remains: Wang et al., "Dueling Network Architectures for Deep Reinforcement Learning", ICML 2016.
    """

    q_net: PolicyNet  # type: ignore[assignment]  # annotated as a Sequential

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.q_net = net_for(self.observation_space, self.action_space)

    def forward(self, obs: Any) -> torch.Tensor:
        scores: torch.Tensor = self.q_net(obs)  # (batch, actions)
        return scores - scores.mean(dim=1, keepdim=True)


class BanditDQNPolicy(DQNPolicy):
    """For DQN."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"features_extractor_class": Unchanged, **kwargs})

    def make_q_net(self) -> QNetwork:
        arguments = self._update_features_extractor(self.net_args, features_extractor=None)
        return BanditQNetwork(**arguments).to(self.device)


def net_of(policy: nn.Module) -> PolicyNet:
    """Return the network inside either policy."""
    if isinstance(policy, BanditDQNPolicy):
        return cast(BanditQNetwork, policy.q_net).q_net
    return cast(BanditActor, policy).net
