"""What is remembered of judged decisions: each observation with the costs of its own actions, the latest ones."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from learning.training.algorithms import build
from learning.training.buffers import JudgedReplay
from schemas.options.train import Algorithm, TrainConfig
from tests.learning.conftest import eviction_env

CAPACITY, CACHES, K, F = 10, 4, 3, 5


def replay_of(rounds: int) -> JudgedReplay:
    """A memory of 10 rounds in which `rounds` were stored; every number in a decision tells round and cache."""
    box, actions = gym.spaces.Box(-1, 1, (K, F)), gym.spaces.Discrete(K)
    kept = JudgedReplay(CAPACITY * CACHES, box, actions, "cpu", n_envs=CACHES)
    for i in range(rounds):
        label = (CACHES * i + np.arange(CACHES)).astype(np.float32)
        kept.store(np.broadcast_to(label[:, None, None], (CACHES, K, F)), np.broadcast_to(-label[:, None], (CACHES, K)))
    return kept


@pytest.mark.parametrize("rounds", [1, 7, 10, 24])
def test_what_is_drawn_are_the_latest_decisions_whole_and_each_of_them(rounds: int) -> None:
    np.random.seed(0)
    rows, costs = replay_of(rounds).draw(5_000)
    assert rows.shape == (5_000, K, F)
    assert costs.shape == (5_000, K)
    labels = -costs[:, 0]
    assert (rows == labels[:, None, None]).all()
    assert (costs == -labels[:, None]).all()
    assert set(labels.int().tolist()) == set(range(CACHES * max(0, rounds - CAPACITY), CACHES * rounds))


def test_next_observations_take_no_memory() -> None:
    assert not hasattr(replay_of(3), "next_observations")


def learned_from(algorithm: Algorithm, steps: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.Tensor, Any]]:
    """The pairs of features and costs that the gradient steps take, and those that the environment gave."""
    config = TrainConfig(algorithm=algorithm, timesteps=steps * 64, n_steps=None if algorithm == "dqn" else steps)
    model: Any = build(config, eviction_env(), "cpu")
    given: list[tuple[np.ndarray, np.ndarray]] = []
    step = model.env.decisions.step

    def recording(actions: np.ndarray) -> np.ndarray:
        given.append((model.env.decisions.rows.copy(), model.env.decisions.costs.astype(np.float32)))
        done: np.ndarray = step(actions)
        return done

    monkeypatch.setattr(model.env.decisions, "step", recording)
    model.learn(steps * 64)
    memory = model.replay_buffer if algorithm == "dqn" else model.rollout_buffer
    kept = [
        (torch.from_numpy(memory.observations[i]), torch.from_numpy(memory.costs[i]))
        for i in range(len(given[-steps:]))
    ]
    return list(zip(kept, given[-steps:], strict=True))


@pytest.mark.parametrize("algorithm", ["dqn", "ppo", "a2c"])
def test_each_decision_is_remembered_with_the_costs_of_its_own_actions(
    algorithm: Algorithm, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = learned_from(algorithm, 8, monkeypatch)
    assert len(pairs) == 8
    for kept, given in pairs:
        np.testing.assert_array_equal(kept[0], given[0])
        np.testing.assert_array_equal(kept[1], given[1])
    assert any((kept[1] > 0).any() for kept, _ in pairs)
