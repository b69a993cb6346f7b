"""Learned decisions on misses: trained on the span alone, the same for one seed, and worth having."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cachesim.capacity import Capacity
from cachesim.features.table import raw_normaliser
from cachesim.miss.decider import always
from cachesim.miss.decisions import DrawnDecisions
from cachesim.miss.problem import ttl_setting
from cachesim.miss.replay import replay_decided
from cachesim.traffic.energy import energy_trace
from learning.describe import decision_states, describe
from learning.evaluation.baselines import BY_ENDPOINT, finer
from learning.evaluation.evaluate import evaluate
from learning.networks import DecisionNet, ExportedPolicy
from learning.problem import CacheProblem, build_problem
from learning.training.train import TrainedPolicy, train
from schemas.errors import ConfigError, GateError, TraceError
from schemas.options.train import Algorithm, TrainConfig, parse
from schemas.trace import Trace

every_algorithm = pytest.mark.parametrize("algorithm", ["dqn", "ppo", "a2c"])
on_misses = pytest.mark.parametrize("decision", ["admission", "ttl"])


def config_of(decision: str, **options: Any) -> TrainConfig:
    return TrainConfig.model_validate({"decision": decision, "cache_size": 60, "timesteps": 1_024} | options)


def trained(problem: CacheProblem, config: TrainConfig) -> TrainedPolicy:
    return train(problem, config, lambda *_: None, lambda *_: None)


@pytest.fixture(scope="module")
def trace() -> Trace:
    return energy_trace(4_000, seed=5)


@every_algorithm
@on_misses
def test_one_seed_gives_one_policy_and_what_follows_the_training_span_does_not_matter(
    trace: Trace, decision: str, algorithm: Algorithm
) -> None:
    names = ("key", "size_bytes", "load_time_ms", "endpoint", "version")
    columns = {name: getattr(trace, name).copy() for name in names}
    for column in columns.values():
        column[2_400:] = column[0]
    config = config_of(decision, algorithm=algorithm)
    policies = [trained(build_problem(one, config), config) for one in (trace, replace(trace, **columns))]
    for one, two in zip(*(policy.net.parameters() for policy in policies), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


@on_misses
def test_the_exported_network_scores_raw_features_as_the_replay_does(trace: Trace, decision: str) -> None:
    config = config_of(decision)
    problem = build_problem(trace, config)
    policy = trained(problem, config)
    states, scores = decision_states(problem, policy.policy, 0, states=500)
    assert isinstance(policy.net, DecisionNet)
    assert states.shape[1:] == (1, len(problem.features))
    with torch.no_grad():
        exported = ExportedPolicy(policy.net, policy.normaliser)(torch.from_numpy(states[:, 0])).numpy()
    assert exported.shape == scores.shape == (len(states), 2 if decision == "admission" else 15)
    np.testing.assert_allclose(exported, scores, rtol=1e-4, atol=1e-4)


@every_algorithm
def test_a_learned_admission_keeps_out_what_is_asked_for_once(hot_trace: Trace, algorithm: Algorithm) -> None:
    """LRU lets the half of the requests that never come back push out the other half."""
    config = config_of("admission", algorithm=algorithm, cache_size=80, timesteps=20_480)
    problem = build_problem(hot_trace, config)
    evaluation = evaluate(problem, trained(problem, config).policy, 0)
    lru = evaluation.baselines["lru"].hit_ratio
    assert evaluation.reference == "lru"
    assert lru is not None
    assert lru > 0
    assert (evaluation.policy.hit_ratio or 0) > lru + 0.05


@pytest.mark.slow
@every_algorithm
def test_learned_times_to_live_save_more_than_the_best_fixed_one(algorithm: Algorithm) -> None:
    config = TrainConfig(
        algorithm=algorithm, decision="ttl", cache_fraction=0.1, cache_weights={"load_time_ms": 1}, timesteps=60_000
    )
    problem = build_problem(energy_trace(60_000, seed=2), config)
    evaluation = evaluate(problem, trained(problem, config).policy, 0)
    fixed = [score.value_ratio or 0.0 for name, score in evaluation.baselines.items() if name != BY_ENDPOINT]
    assert (evaluation.policy.value_ratio or 0.0) > max(fixed) + 0.005
    assert evaluation.policy.stale_ratio is not None


def constant(problem: CacheProblem, action: int) -> Any:
    n_features = len(problem.features)
    return always(action, n_features, 15, raw_normaliser(n_features))


def test_the_constant_policy_scores_what_its_fixed_time_to_live_scores(trace: Trace) -> None:
    problem = build_problem(trace, config_of("ttl", staleness_weight=2.0))
    evaluation = evaluate(problem, constant(problem, 9), 0)
    assert evaluation.policy == evaluation.baselines["ttl 3600 s"]
    assert evaluation.comparisons["policy"]["lru"].value_ratio.difference == pytest.approx(
        (evaluation.policy.value_ratio or 0) - (evaluation.baselines["lru"].value_ratio or 0)
    )
    assert problem.setting is not None
    assert replay_decided(problem.setting, constant(problem, 0)).hit.sum() == 0


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 2.0])
def test_no_time_to_live_exceeds_the_bound_and_stale_hits_count_against_the_value(trace: Trace, weight: float) -> None:
    problem = build_problem(trace, config_of("ttl", staleness_weight=weight, cache_weights={"size_bytes": 1}))
    evaluation = evaluate(problem, constant(problem, 14), 0)
    bound = evaluation.bounds[evaluation.bound].value_ratio or 0.0
    assert all((score.value_ratio or 0.0) <= bound for score in evaluation.baselines.values())
    plain = build_problem(trace, config_of("ttl", staleness_weight=0.0, cache_weights={"size_bytes": 1}))
    fresh_and_stale = evaluate(plain, constant(plain, 14), 0).policy.value_ratio or 0.0
    assert ((evaluation.policy.value_ratio or 0.0) < fresh_and_stale) == (weight > 0)


def test_between_two_rungs_three_more_are_tried_and_only_the_best_of_them_is_shown(trace: Trace) -> None:
    problem = build_problem(trace, config_of("ttl", ttl_ladder_s=(60.0, 3_600.0), eviction="s3-fifo"))
    assert problem.setting is not None
    assert problem.setting.ladder_s.tolist() == [0.0, 60.0, 3_600.0, np.inf]
    assert len(finer(problem.setting.ladder_s)) == 6
    names = set(evaluate(problem, always(0, len(problem.features), 4, raw_normaliser(26)), 0).baselines)
    assert {"s3-fifo", "ttl 60 s", "ttl 3600 s", BY_ENDPOINT} <= names
    assert len(names) in (4, 5)


def test_the_description_says_what_each_action_does(trace: Trace) -> None:
    config = config_of("ttl", ttl_ladder_s=(60.0,), staleness_weight=0.5, eviction="arc")
    problem = build_problem(trace, config)
    policy = trained(problem, config)
    description = describe(problem, policy, evaluate(problem, policy.policy, 0), config)
    assert description.actions is not None
    assert description.actions.lifetimes_s == (0.0, 60.0, None)
    assert (description.actions.eviction, description.actions.staleness_weight) == ("arc", 0.5)
    assert description.candidates is None
    stand_ins = {feature.name for feature in description.features if feature.missing_value is not None}
    assert stand_ins == {"load_time_ms"}


def test_where_nothing_is_left_to_decide_nothing_is_learned(trace: Trace) -> None:
    nothing_fits = ttl_setting(trace, 2_400, Capacity(1, "bytes"), np.ones(len(trace)))
    with pytest.raises(GateError, match="no decision to learn from"):
        DrawnDecisions(nothing_fits, 2_400, batch=64, seed=0)
    holds_all = config_of("admission", cache_size=4_000)
    with pytest.raises(GateError, match="evicts nothing"):
        trained(build_problem(trace, holds_all), holds_all)


@on_misses
def test_keys_of_which_none_returns_teach_nothing(trace: Trace, decision: str) -> None:
    config = config_of(decision)
    alone = replace(trace, key=np.arange(len(trace)), n_keys=len(trace))
    with pytest.raises(GateError, match="requested twice"):
        trained(build_problem(alone, config), config)


def test_times_to_live_are_refused_where_versions_are_not_known(trace: Trace) -> None:
    with pytest.raises(TraceError, match="need origin_version"):
        build_problem(replace(trace, version=None), config_of("ttl"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decision": "eviction", "eviction": "lru"}, "eviction: not an option of decision eviction"),
        ({"decision": "admission", "staleness_weight": 1}, "staleness_weight: not an option of decision admission"),
        ({"decision": "ttl", "staleness_budget": 0.1}, "staleness_budget: not an option of decision ttl"),
        ({"decision": "ttl", "ttl_ladder_s": (60, 30)}, "must rise, got 60, 30"),
        ({"decision": "ttl", "ttl_ladder_s": (-1, 30)}, "ttl_ladder_s.0"),
        ({"decision": "ttl", "staleness_weight": -1}, "staleness_weight"),
    ],
)
def test_options_that_do_not_fit_the_decision_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(TrainConfig, options)


@pytest.mark.parametrize(("eviction", "message"), [("belady", "knows the future"), ("lruu", "lru")])
def test_an_eviction_that_cannot_run_is_refused(trace: Trace, eviction: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_problem(trace, config_of("admission", eviction=eviction))
