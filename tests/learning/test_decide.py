"""Learned decisions on misses: trained on the span alone, the same for one seed, and worth having."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from cachesim.capacity import Capacity
from cachesim.decided import Future, replay_decided
from cachesim.decider import always, scores_of
from cachesim.features import raw_normaliser
from cachesim.objective import request_values
from cachesim.setting import Setting, admission_setting, ttl_setting
from cachesim.synthetic import energy_trace
from envs.contexts import ContextVecEnv
from learning.decide import _build, train_decision
from learning.decide_evaluate import evaluate_decision, finer
from learning.decider import DecisionNet, layers_of
from learning.scorer import ExportedPolicy
from learning.warm_start import warm_start
from schemas.config import Algorithm, TrainConfig
from schemas.errors import GateError
from schemas.trace import Trace

every_algorithm = pytest.mark.parametrize("algorithm", ["dqn", "ppo", "a2c"])


def trained(setting: Setting, algorithm: Algorithm = "ppo", timesteps: int = 1_000, **curves: Any) -> Any:
    def on_metric(name: str, value: float, step: int) -> None:
        curves.setdefault(name, []).append(value)

    return train_decision(setting, TrainConfig(algorithm=algorithm, timesteps=timesteps), on_metric, lambda *_: None)


@pytest.fixture(scope="module")
def setting() -> Setting:
    trace = energy_trace(4_000, seed=5)
    return ttl_setting(trace, 2_400, Capacity(60, "objects"), np.ones(4_000))


@every_algorithm
def test_one_seed_gives_one_policy_and_what_follows_the_training_span_does_not_matter(
    setting: Setting, algorithm: Algorithm
) -> None:
    trace, held_out = setting.trace, slice(2_400, None)
    columns = {
        name: getattr(trace, name).copy() for name in ("key", "size_bytes", "load_time_ms", "endpoint", "version")
    }
    for column in columns.values():
        column[held_out] = column[0]
    spoilt = replace(trace, **columns)
    again = ttl_setting(spoilt, 2_400, setting.capacity, setting.values)
    nets = [trained(one, algorithm).net for one in (setting, again)]
    for one, two in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


@every_algorithm
def test_the_scores_are_the_logits_or_q_values(algorithm: Algorithm) -> None:
    rng = np.random.default_rng(0)
    rows, rewards = rng.normal(size=(200, 5)).astype(np.float32), rng.random((200, 3)).astype(np.float32)
    config = TrainConfig(algorithm=algorithm, timesteps=1_000)
    model: BaseAlgorithm = _build(config, ContextVecEnv(rows, rewards, 64, 0), "cpu")
    layers = layers_of(model.policy)
    assert [layer.weight.shape for layer in layers] == [(32, 5), (32, 32), (3, 32)]
    net = DecisionNet(5, 3)
    for mine, layer in zip((net.first, net.second, net.last), layers, strict=True):
        mine.load_state_dict(layer.state_dict())
    actions, _ = model.predict(rows, deterministic=True)
    with torch.no_grad():
        np.testing.assert_array_equal(actions, net(torch.from_numpy(rows)).argmax(dim=1))
    assert model.gamma == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("values", [True, False])
def test_a_warm_start_finds_the_best_action_of_each_decision(values: bool) -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(2_000, 4)).astype(np.float32)
    rewards = np.stack([rows[:, 0], -rows[:, 0], np.full(2_000, -3.0)], axis=1).astype(np.float32)
    torch.manual_seed(0)
    net = DecisionNet(4, 3)
    warm_start([net.first, net.second, net.last], rows, rewards, values, seed=0)
    clear = np.abs(rows[:, 0]) > 0.3
    with torch.no_grad():
        actions = net(torch.from_numpy(rows)).argmax(dim=1).numpy()
    assert (actions == rewards.argmax(axis=1))[clear].mean() > 0.98


def test_each_step_is_a_decision_of_the_table_with_the_reward_of_the_action_taken() -> None:
    rows = np.arange(20, dtype=np.float32).reshape(10, 2) / 20
    rewards = np.arange(30, dtype=np.float32).reshape(10, 3)
    env = ContextVecEnv(rows, rewards, batch=64, seed=3)
    seen, rng = env.reset(), np.random.default_rng(0)
    for _ in range(5):
        actions = rng.integers(0, 3, 64)
        drawn = np.rint(seen[:, 0] * 10).astype(int)
        seen, earned, done, infos = env.step(actions)
        np.testing.assert_array_equal(earned, rewards[drawn, actions])
        assert done.all()
        assert len(infos) == 64
    env.load(rows[:1], rewards[:1])
    env.step(np.zeros(64, np.int64))
    assert (env.reset() == rows[0]).all()


def test_the_exported_network_scores_raw_features_as_the_replay_does(setting: Setting) -> None:
    policy = trained(setting)
    n_features, actions = len(setting.features), setting.ladder_s.size
    last = always(actions - 1, n_features, actions, raw_normaliser(n_features))
    rows = Future(setting.of_training).contexts(last, 1.0, 500, 0).rows
    with torch.no_grad():
        scores = ExportedPolicy(policy.net, policy.normaliser)(torch.from_numpy(rows)).numpy()
    assert scores.shape == (len(rows), actions)
    np.testing.assert_allclose(scores, scores_of(policy.decider, rows), rtol=1e-4, atol=1e-4)


def test_a_learned_admission_keeps_out_what_is_asked_for_once(hot_trace: Trace) -> None:
    """LRU lets the half of the requests that never come back push out the other half."""
    setting = admission_setting(hot_trace, 7_200, Capacity(80, "objects"), np.ones(len(hot_trace)))
    policy = trained(setting, timesteps=6_000)
    evaluation = evaluate_decision(setting, policy.decider, 0)
    assert evaluation.policy.hit_ratio > evaluation.baselines["lru"].hit_ratio + 0.05
    assert evaluation.baselines["lru"].hit_ratio > 0


@pytest.mark.slow
@every_algorithm
def test_learned_times_to_live_save_more_than_the_best_fixed_one(algorithm: Algorithm) -> None:
    trace = energy_trace(60_000, seed=2)
    values = request_values(trace, 36_000, {"load_time_ms": 1.0})
    setting = ttl_setting(trace, 36_000, Capacity.resolve(trace, fraction=0.1), values)
    evaluation = evaluate_decision(setting, trained(setting, algorithm, 30_000).decider, 0)
    fixed = [evaluation.net(s) for name, s in evaluation.baselines.items() if name != "ttl by endpoint"]
    assert len(fixed) == len(finer(setting.ladder_s)) > 40
    assert evaluation.net(evaluation.policy) > max(fixed) + 0.005
    assert evaluation.policy.stale_ratio is not None


def test_a_span_in_which_nothing_fits_is_refused(setting: Setting) -> None:
    nothing_fits = ttl_setting(setting.trace, 2_400, Capacity(1, "bytes"), setting.values)
    with pytest.raises(GateError, match="no decision to learn from"):
        trained(nothing_fits)


def test_held_out_requests_of_no_worth_are_refused(setting: Setting) -> None:
    worthless = ttl_setting(setting.trace, 2_400, setting.capacity, np.zeros(4_000))
    n_features = len(setting.features)
    with pytest.raises(GateError, match="worth anything"):
        evaluate_decision(worthless, always(0, n_features, 15, raw_normaliser(n_features)), 0)


def test_the_constant_policy_scores_what_its_fixed_time_to_live_scores(setting: Setting) -> None:
    n_features = len(setting.features)
    evaluation = evaluate_decision(setting, always(9, n_features, 15, raw_normaliser(n_features)), 0)
    assert evaluation.policy == evaluation.baselines["ttl 3600"]
    assert replay_decided(setting, always(0, n_features, 15, raw_normaliser(n_features))).hit.sum() == 0
