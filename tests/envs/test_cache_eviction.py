"""`ers/CacheEviction-v0`: its documentation, rewards and arguments. The contract suite checks what all share."""

import re

import gymnasium as gym
import numpy as np
import pytest

import envs
from cachesim.capacity import Capacity
from cachesim.features.table import FEATURES
from cachesim.traffic.energy import energy_trace
from envs.cache_eviction import CacheEvictionEnv
from envs.defaults import DEFAULT_REQUESTS
from schemas.errors import ConfigError, GateError
from schemas.trace import Trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return energy_trace(3_000, seed=9)


def documented_rows() -> list[list[str]]:
    lines = re.findall(r"^ *\| (\d.*) \|$", CacheEvictionEnv.__doc__ or "", re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def test_the_observation_table_names_every_feature_with_unit_and_range() -> None:
    described = []
    for numbers, names, unit, low, high in documented_rows()[:-1]:
        first, _, last = numbers.partition("-")
        for feature in FEATURES[int(first) : int(last or first) + 1]:
            start, _, end = names.partition(" to ")
            assert feature.name in names.split(", ") or start[:-1] == end[:-1] == feature.name[:-1]
            assert feature.unit == unit
            assert (feature.low, feature.high) == (float(low.split()[0]), float(high))
            described.append(feature)
    assert tuple(described) == FEATURES
    assert documented_rows()[-1][0] == f"{len(FEATURES)}-"


def test_gymnasium_makes_it_by_name_with_its_defaults() -> None:
    envs.register()
    env = gym.make("ers/CacheEviction-v0")
    observation, _ = env.reset(seed=0)
    assert observation.shape == env.observation_space.shape == (16, len(FEATURES))
    assert env.action_space == gym.spaces.Discrete(16)
    trace = energy_trace(DEFAULT_REQUESTS, seed=0)
    assert (observation[:, 0] < len(trace)).all()


def test_dropping_the_least_worth_is_rewarded_most_and_the_rewards_sum_to_zero(trace: Trace) -> None:
    env = CacheEvictionEnv(trace, Capacity(30, "objects"), candidates=5)
    env.reset(seed=2)
    for _ in range(200):
        worths = env._decisions.costs[0].copy()
        rewards = worths.mean() - worths
        assert rewards.sum() == pytest.approx(0, abs=1e-9)
        action = int(np.random.default_rng(0).integers(5))
        assert env.step(np.int64(action))[1] == pytest.approx(rewards[action])


def test_rewards_of_unweighted_objects_lie_between_minus_one_and_one(trace: Trace) -> None:
    env = CacheEvictionEnv(trace, Capacity(30, "objects"))
    env.reset(seed=0)
    rewards = np.array([env.step(np.int64(0))[1] for _ in range(500)])
    assert (np.abs(rewards) < 1).all()
    assert rewards.min() < 0 < rewards.max()


def test_the_incoming_object_is_candidate_zero(trace: Trace) -> None:
    env = CacheEvictionEnv(trace, Capacity(30, "objects"), candidates=5)
    observation, _ = env.reset(seed=0)
    for _ in range(100):
        assert observation[0, :2].tolist() == [0, 0]
        assert (observation[1:, 0] >= 1).all()
        observation = env.step(np.int64(1))[0]


def test_columns_of_the_trace_are_observed() -> None:
    plain = energy_trace(2_000, seed=9)
    columns = np.arange(4_000, dtype=np.float32).reshape(2_000, 2)
    trace = Trace(
        plain.key, plain.timestamp_s, plain.size_bytes, plain.load_time_ms, plain.endpoint, plain.n_keys,
        plain.endpoint_names, columns=columns, column_names=("even", "odd"),
    )  # fmt: skip
    observation, _ = CacheEvictionEnv(trace, Capacity(20, "objects")).reset(seed=0)
    assert observation.shape == (16, len(FEATURES) + 2)
    np.testing.assert_array_equal(observation[:, -1], observation[:, -2] + 1)


def test_fewer_than_two_candidates_are_refused(trace: Trace) -> None:
    with pytest.raises(ConfigError, match="candidates must be >= 2, got 1"):
        CacheEvictionEnv(trace, candidates=1)


def test_a_cache_that_holds_everything_is_refused(trace: Trace) -> None:
    with pytest.raises(GateError, match="give another capacity"):
        CacheEvictionEnv(trace, Capacity(trace.distinct_keys, "objects"))
