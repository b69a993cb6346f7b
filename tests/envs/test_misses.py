"""`ers/CacheAdmission-v0` and `ers/CacheTtl-v0`: documentation, starts, rewards. The contract suite checks the rest."""

import re

import gymnasium as gym
import numpy as np
import pytest

import envs
from cachesim.capacity import Capacity
from cachesim.miss.kernels import miss_features
from cachesim.miss.ttl_rewards import DEFAULT_LADDER_S
from cachesim.replay import replay
from cachesim.traffic.energy import energy_trace
from envs.cache_admission import CacheAdmissionEnv
from envs.cache_ttl import CacheTtlEnv
from envs.miss_env import MissEnv
from schemas.errors import ConfigError, GateError, TraceError
from schemas.trace import Trace

CAPACITY = Capacity(40, "objects")


@pytest.fixture(scope="module")
def trace() -> Trace:
    return energy_trace(3_000, seed=9)


@pytest.mark.parametrize(("environment", "every_miss"), [(CacheAdmissionEnv, False), (CacheTtlEnv, True)])
def test_the_observation_table_names_every_feature_with_unit_and_range(
    environment: type[MissEnv], every_miss: bool
) -> None:
    lines = re.findall(r"^ *\| (\d.*) \|$", environment.__doc__ or "", re.MULTILINE)
    table, described = miss_features((), every_miss), []
    for numbers, names, unit, low, high in ([cell.strip() for cell in line.split("|")] for line in lines[:-1]):
        first, _, last = numbers.partition("-")
        for feature in table[int(first) : int(last or first) + 1]:
            start, _, end = names.partition(" to ")
            assert feature.name in names.split(", ") or start[:-1] == end[:-1] == feature.name[:-1]
            assert feature.unit == unit
            assert (feature.low, feature.high) == (float(low.split()[0]), float(high))
            described.append(feature)
    assert tuple(described) == table
    assert lines[-1].startswith(f"{len(table)}-")


@pytest.mark.parametrize(("name", "actions"), [(envs.CACHE_ADMISSION, 2), (envs.CACHE_TTL, len(DEFAULT_LADDER_S))])
def test_gymnasium_makes_them_by_name_with_their_defaults(name: str, actions: int) -> None:
    envs.register()
    env = gym.make(name)
    observation, _ = env.reset(seed=0)
    assert observation.shape == env.observation_space.shape
    assert env.action_space == gym.spaces.Discrete(actions)


@pytest.mark.parametrize(("environment", "action", "ttl_s"), [(CacheAdmissionEnv, 1, None), (CacheTtlEnv, 8, 1_800.0)])
def test_one_action_throughout_serves_what_the_policy_alone_serves(
    trace: Trace, environment: type[MissEnv], action: int, ttl_s: float | None
) -> None:
    env = environment(trace, CAPACITY)  # type: ignore[call-arg]
    env.reset(options={"position": 0})
    truncated = False
    while not truncated:
        truncated = env.step(np.int64(action))[3]
    stop = min(env._steps._at, len(trace))
    theirs = replay(trace, "lru", CAPACITY, ttl_s=ttl_s).hit
    np.testing.assert_array_equal(env._steps._running.hit[:stop], theirs[:stop])
    assert stop > len(trace) // 2


def test_refusing_earns_nothing_and_admitting_both_gains_and_losses(trace: Trace) -> None:
    env = CacheAdmissionEnv(trace, CAPACITY)
    env.reset(seed=1)
    assert {env.step(np.int64(0))[1] for _ in range(50)} == {0.0}
    rewards = [env.step(np.int64(1))[1] for _ in range(300)]
    assert min(rewards) < 0 < max(rewards)


def test_the_fixed_time_to_live_of_an_endpoint_is_what_others_are_measured_by(trace: Trace) -> None:
    env = CacheTtlEnv(trace, CAPACITY)
    lives = env._steps.future.lives
    for endpoint in range(len(trace.endpoint_names)):
        mine = lives[trace.endpoint == endpoint]
        assert (np.abs(mine) < 1e-5).all(axis=0).any()


def test_a_start_is_where_it_was_asked_for(trace: Trace) -> None:
    env = CacheTtlEnv(trace, CAPACITY)
    env.reset(options={"position": 700})
    assert env._steps._at == 700
    with pytest.raises(ConfigError, match=r"position must lie in \[0, 3000\), got 3000"):
        env.reset(options={"position": 3_000})


def test_what_leaves_nothing_to_decide_is_refused(trace: Trace, make_trace) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(GateError, match="nothing to learn"):
        CacheAdmissionEnv(trace, Capacity(trace.distinct_keys, "objects"))
    with pytest.raises(GateError, match="nothing to learn"):
        CacheTtlEnv(trace, Capacity(1, "bytes"))
    with pytest.raises(TraceError, match="origin_version"):
        CacheTtlEnv(make_trace([0, 1, 0]))
