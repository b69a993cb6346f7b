"""DQN for a discount of 0: the same steps as Stable-Baselines3's, and a buffer that holds the latest decisions."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from learning.bandit_dqn import BanditDQN, DecisionBuffer
from learning.policies import SharedScorerDQN
from tests.learning.conftest import eviction_env

CAPACITY, CACHES, K, F = 10, 4, 3, 5


def buffer(rounds: int) -> DecisionBuffer:
    """A buffer for 10 rounds in which `rounds` were stored; every number in a decision tells round and cache."""
    box, actions = gym.spaces.Box(-1, 1, (K, F)), gym.spaces.Discrete(1_000)
    kept = DecisionBuffer(CAPACITY * CACHES, box, actions, "cpu", n_envs=CACHES)
    for i in range(rounds):
        label = (CACHES * i + np.arange(CACHES)).astype(np.float32)
        observation = np.broadcast_to(label[:, None, None], (CACHES, K, F))
        kept.add(observation, observation, label.astype(np.int64), -label, np.zeros(CACHES, np.bool_), [{}] * CACHES)
    return kept


@pytest.mark.parametrize("rounds", [1, 7, 10, 24])
def test_what_is_drawn_are_the_latest_decisions_whole_and_each_of_them(rounds: int) -> None:
    np.random.seed(0)
    drawn = buffer(rounds).sample(5_000)
    labels = drawn.rewards[:, 0].neg()
    assert drawn.observations.shape == (5_000, K, F)
    assert (drawn.observations == labels[:, None, None]).all()
    assert (drawn.actions[:, 0] == labels).all()
    assert set(labels.int().tolist()) == set(range(CACHES * max(0, rounds - CAPACITY), CACHES * rounds))


def model(kind: type[DQN], drawn: ReplayBufferSamples, buffer_class: type[ReplayBuffer]) -> Any:
    found = kind(
        SharedScorerDQN,
        eviction_env(),
        gamma=0.0,
        seed=5,
        device="cpu",
        replay_buffer_class=buffer_class,
        buffer_size=640,
    )
    found.set_logger(Logger(folder=None, output_formats=[]))
    found.replay_buffer.sample = lambda *_, **__: drawn
    return found


def test_its_gradient_steps_are_those_of_dqn() -> None:
    """The next observations are anything: with a discount of 0 they count for nothing."""
    env, rng = eviction_env(), torch.Generator().manual_seed(1)
    shape = (32, *env.observation_space.shape)
    drawn = ReplayBufferSamples(
        torch.randn(shape, generator=rng),
        torch.randint(0, shape[1], (32, 1), generator=rng),
        torch.randn(shape, generator=rng),
        torch.zeros(32, 1),
        3 * torch.randn(32, 1, generator=rng),
    )
    plain, bandit = model(DQN, drawn, ReplayBuffer), model(BanditDQN, drawn, DecisionBuffer)
    for one in (plain, bandit):
        one.train(gradient_steps=5, batch_size=32)
    for expected, found in zip(plain.q_net.parameters(), bandit.q_net.parameters(), strict=True):
        torch.testing.assert_close(found, expected)
    assert bandit.logger.name_to_value["train/loss"] == pytest.approx(plain.logger.name_to_value["train/loss"])


def test_next_observations_take_no_memory() -> None:
    assert not hasattr(buffer(3), "next_observations")
