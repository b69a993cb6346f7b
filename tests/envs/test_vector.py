"""The batched environment: what Stable-Baselines3 expects of it, and that each of its caches is a cache of its own."""

import copy
import warnings
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecMonitor

from cachesim.capacity import Capacity
from cachesim.eviction.caches import advance, build_stream, create_caches, observe_candidates, resolve, sample
from cachesim.eviction.decisions import Decisions, build_oracle, oldest_first
from cachesim.features.table import fit_normaliser
from cachesim.structures.random_numbers import random_states
from cachesim.traffic.energy import energy_trace
from envs.vector import DecisionVecEnv
from schemas.trace import Trace

BATCH, CANDIDATES = 64, 6
CAPACITY = Capacity(40, "objects")


@pytest.fixture(scope="module")
def trace() -> Trace:
    return energy_trace(4_000, seed=10)


def env_of(trace: Trace, seed: int = 3) -> DecisionVecEnv:
    stream = build_stream(trace, CAPACITY, len(trace), 8)
    oracle = build_oracle(trace, CAPACITY, np.ones(len(trace)), 300.0)
    decisions = Decisions(stream, oracle, trace.n_keys, batch=BATCH, candidates=CANDIDATES, seed=seed)
    decisions.resync(oldest_first(decisions.n_features))
    rows = decisions.reset().reshape(-1, decisions.n_features)
    decisions.normaliser = fit_normaliser(rows, trace.column_names, 40.0)
    return DecisionVecEnv(decisions)


def test_steps_have_the_shapes_and_types_that_stable_baselines3_expects(trace: Trace) -> None:
    env = env_of(trace)
    observations = env.reset()
    rng, ended = np.random.default_rng(0), 0
    for _ in range(300):
        assert observations.shape == (BATCH, *env.observation_space.shape)
        assert all(env.observation_space.contains(observation) for observation in observations)
        observations, rewards, dones, infos = env.step(rng.integers(0, CANDIDATES, BATCH))
        assert (rewards.shape, rewards.dtype) == ((BATCH,), np.float32)
        assert (dones.shape, dones.dtype) == ((BATCH,), np.bool_)
        assert len(infos) == BATCH
        for done, info, observation in zip(dones, infos, observations, strict=True):
            assert set(info) == ({"terminal_observation", "TimeLimit.truncated"} if done else set())
            if done:
                assert info["TimeLimit.truncated"] is True
                assert info["terminal_observation"].shape == observation.shape
        ended += int(dones.sum())
    assert ended > 0


def test_what_a_step_returned_does_not_change_with_the_next(trace: Trace) -> None:
    env = env_of(trace)
    env.reset()
    returned = env.step(np.zeros(BATCH, np.int64))[:3]
    kept = copy.deepcopy(returned)
    for _ in range(50):
        env.step(np.ones(BATCH, np.int64))
    for now, then in zip(returned, kept, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_reward_is_what_the_action_costs_less_than_a_random_one(trace: Trace) -> None:
    env = env_of(trace)
    env.reset()
    for step in range(100):
        costs = env.decisions.costs.copy()
        rewards = env.step(np.full(BATCH, step % CANDIDATES))[1]
        np.testing.assert_allclose(rewards, costs.mean(axis=1) - costs[:, step % CANDIDATES], atol=1e-6)
        np.testing.assert_array_equal(env.judged, costs.astype(np.float32))


def test_64_caches_in_a_batch_equal_64_single_caches(trace: Trace) -> None:
    env, steps = env_of(trace), 150
    decisions: Any = env.decisions
    decisions.start_empty()
    decisions.reseed(21)
    observations = [env.reset()]
    actions = np.random.default_rng(4).integers(0, CANDIDATES, (steps, BATCH))
    for step in range(steps):
        observations.append(env.step(actions[step])[0])
    stream, unmarked = decisions.stream, np.empty(0, np.bool_)
    candidates, rows = np.empty(CANDIDATES, np.int64), np.empty(decisions.rows.shape[1:], np.float32)
    for b in range(BATCH):
        cache = create_caches(stream, trace.n_keys, 1, 0)
        cache.random[0] = random_states(21, BATCH)[b]
        for step in range(steps + 1):
            assert advance(cache, 0, stream, decisions.oracle.end, unmarked)
            sample(cache, 0, candidates)
            row = stream.history[cache.position[0]]
            observe_candidates(cache, 0, row, stream.half_lives, 1.0, candidates, decisions.normaliser, rows)
            np.testing.assert_array_equal(observations[step][b], rows)
            if step < steps:
                resolve(cache, 0, stream, candidates[actions[step, b]])


def test_the_wrappers_of_stable_baselines3_work_on_it(trace: Trace) -> None:
    env = env_of(trace)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitored = VecMonitor(env)
    monitored.reset()
    ended = [i for _ in range(600) for i in monitored.step(np.zeros(BATCH, np.int64))[3] if "episode" in i]
    assert ended
    assert env.get_attr("render_mode", [0, 3]) == [None, None]
    assert env.env_is_wrapped(VecMonitor) == [False] * BATCH
    env.set_attr("note", 7)
    assert env.get_attr("note") == [7] * BATCH
    assert len(env.env_method("reset", indices=[0])) == 1
