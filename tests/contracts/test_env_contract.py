"""What every registered environment promises."""

import copy
import pickle
import re
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

import envs
from cachesim.capacity import Capacity
from cachesim.traffic.energy import energy_trace

REQUESTS = 2_500
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {  # of each environment: small ones, by a name for each
    envs.CACHE_EVICTION: {
        "objects": {"candidates": 6},
        "bytes": {"candidates": 4, "capacity": Capacity(900_000, "bytes"), "weights": {"load_time_ms": 1.0}},
    },
    envs.CACHE_ADMISSION: {
        "objects": {},
        "bytes": {"capacity": Capacity(900_000, "bytes"), "weights": {"load_time_ms": 1.0}},
    },
    envs.CACHE_TTL: {
        "objects": {},
        "bytes": {"capacity": Capacity(900_000, "bytes"), "ladder_s": (0.0, 60.0, 600.0), "staleness_weight": 2.0},
    },
}
CASES = [(name, settings) for name, choices in SETTINGS.items() for settings in choices]
every_environment = pytest.mark.parametrize(("name", "settings"), CASES)

Step = tuple[np.ndarray, float, bool, bool, dict[str, Any]]


def make(name: str, settings: str) -> gym.Env[Any, Any]:
    envs.register()
    made = gym.make(name, trace=energy_trace(REQUESTS, seed=8), **SETTINGS[name][settings])
    return made.unwrapped


def walk(env: gym.Env[Any, Any], actions: np.ndarray) -> Iterator[Step]:
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        yield observation, float(reward), terminated, truncated, info
        if truncated or terminated:
            return


def actions(env: gym.Env[Any, Any], count: int, seed: int = 0) -> np.ndarray:
    assert isinstance(env.action_space, gym.spaces.Discrete)
    return np.random.default_rng(seed).integers(0, env.action_space.n, count)


def assert_same_steps(first: Iterator[Step], second: Iterator[Step]) -> None:
    count = 0
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:] == other[1:]
        count += 1
    assert count > 20


def test_every_registered_environment_is_in_this_suite() -> None:
    envs.register()
    envs.register()
    assert set(SETTINGS) == {name for name in gym.registry if name.startswith("ers/")}


@every_environment
def test_gymnasium_finds_nothing_wrong(name: str, settings: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Box observation space maximum value is infinity")  # ages have no bound
        warnings.filterwarnings("ignore", ".*Not able to test alternative render modes")
        check_env(make(name, settings))


@every_environment
def test_stable_baselines3_finds_nothing_wrong(name: str, settings: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*unconventional shape")  # (candidates, features)
        check_env_for_sb3(make(name, settings))


@every_environment
def test_one_seed_gives_one_episode_and_another_seed_another(name: str, settings: str) -> None:
    first, second, third = (make(name, settings) for _ in range(3))
    chosen = actions(first, 100)
    starts = [env.reset(seed=seed)[0] for env, seed in ((first, 5), (second, 5), (third, 6))]
    np.testing.assert_array_equal(starts[0], starts[1])
    assert (starts[0] != starts[2]).any()
    assert_same_steps(walk(first, chosen), walk(second, chosen))


@every_environment
def test_a_second_episode_repeats_with_its_seed_and_differs_without(name: str, settings: str) -> None:
    env = make(name, settings)
    first, unseeded, again = env.reset(seed=5)[0], env.reset()[0], env.reset(seed=5)[0]
    np.testing.assert_array_equal(first, again)
    assert (first != unseeded).any()


@every_environment
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["copy", "pickle"]
)
def test_a_copy_made_in_an_episode_continues_like_the_original(name: str, settings: str, duplicate: Any) -> None:
    env = make(name, settings)
    env.reset(seed=1)
    chosen = actions(env, 60)
    for action in chosen:
        env.step(action)
    other = duplicate(env)
    assert_same_steps(walk(env, chosen), walk(other, chosen))
    np.testing.assert_array_equal(env.reset()[0], other.reset()[0])


@every_environment
@pytest.mark.parametrize("seed", [0, 1])
def test_an_episode_stays_in_its_spaces_and_ends_truncated(name: str, settings: str, seed: int) -> None:
    env = make(name, settings)
    observation, info = env.reset(seed=seed)
    assert env.observation_space.contains(observation)
    assert info == {}
    steps = list(walk(env, actions(env, 2 * REQUESTS, seed)))
    for observation, reward, terminated, truncated, _ in steps:
        assert env.observation_space.contains(observation)
        assert np.isfinite(reward)
        assert not terminated
        assert isinstance(truncated, bool)
    assert [step[3] for step in steps] == [False] * (len(steps) - 1) + [True]


@every_environment
def test_observations_that_were_handed_out_do_not_change(name: str, settings: str) -> None:
    env = make(name, settings)
    first, _ = env.reset(seed=0)
    kept = first.copy()
    for observation, *_ in walk(env, actions(env, 5)):
        assert not np.shares_memory(first, observation)
    np.testing.assert_array_equal(first, kept)


@every_environment
def test_the_docstring_is_a_data_sheet(name: str, settings: str) -> None:
    documentation = type(make(name, settings)).__doc__ or ""
    sections = re.findall(r"^ *## (.+)$", documentation, re.MULTILINE)
    assert sections == [
        "Action space",
        "Observation space",
        "Reward",
        "Start",
        "Termination and truncation",
        "Arguments",
        "Version history",
    ]
    assert f"- {name[-2:]}: " in documentation
