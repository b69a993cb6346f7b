"""The three algorithms: what reaches Stable-Baselines3, and that its policies are our networks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger

from envs.vector import DecisionVecEnv
from learning.networks import DecisionNet, PolicyNet, ScorerNet
from learning.training.algorithms import build, hyperparameters, latest_loss
from learning.training.initial_decisions import PARALLEL_CACHES
from learning.training.sb3_policies import net_of
from schemas.errors import ConfigError
from schemas.options.train import OWN_OPTIONS, TrainConfig, parse
from tests.learning.conftest import eviction_env, ttl_env

CLASSES: dict[str, type[BaseAlgorithm]] = {"dqn": DQN, "ppo": PPO, "a2c": A2C}
every_algorithm = pytest.mark.parametrize("algorithm", CLASSES)


def config(algorithm: str, **options: Any) -> TrainConfig:
    return TrainConfig.model_validate({"algorithm": algorithm, "timesteps": 2_048} | options)


def model_of(options: TrainConfig) -> Any:
    model = build(options, eviction_env(), "cpu")
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


@every_algorithm
def test_each_name_builds_its_algorithm_as_a_contextual_bandit(algorithm: str) -> None:
    model = model_of(config(algorithm, seed=7))
    assert isinstance(model, CLASSES[algorithm])
    assert model.gamma == 0
    assert model.seed == 7
    assert model.n_envs == PARALLEL_CACHES


@every_algorithm
def test_the_learning_rate_is_taken_and_falls_but_not_to_zero(algorithm: str) -> None:
    for rate, options in ((2e-3, {}), (5e-4, {"learning_rate": 5e-4})):
        model = model_of(config(algorithm, **options))
        rates = [model.lr_schedule(remaining) for remaining in (1.0, 0.5, 0.0)]
        assert rates == pytest.approx([rate, rate / 2, rate / 20])
        assert hyperparameters(config(algorithm, **options))["learning_rate"] == rate


@pytest.mark.parametrize("algorithm", ["dqn", "ppo"])
def test_the_batch_size_is_taken(algorithm: str) -> None:
    assert model_of(config(algorithm, batch_size=128)).batch_size == 128
    assert hyperparameters(config(algorithm, batch_size=128))["batch_size"] == 128


@pytest.mark.parametrize(("batch_size", "n_steps"), [(1_024, 16), (64, 1), (2, 1)])
def test_the_batch_of_a2c_is_its_rollout(batch_size: int, n_steps: int) -> None:
    model = model_of(config("a2c", batch_size=batch_size))
    assert model.n_steps == n_steps
    assert "batch_size" not in hyperparameters(config("a2c", batch_size=batch_size))


def test_a_short_dqn_training_still_learns() -> None:
    values = hyperparameters(config("dqn", timesteps=1_000))
    assert values["learning_starts"] == 250
    assert values["buffer_size"] == 1_000
    assert hyperparameters(config("dqn", timesteps=300_000))["learning_starts"] == 4_096


@every_algorithm
def test_hyperparameters_of_one_run_do_not_leak_into_another(algorithm: str) -> None:
    before = hyperparameters(config(algorithm))
    hyperparameters(config(algorithm, learning_rate=0.5))["new"] = 1
    assert hyperparameters(config(algorithm)) == before


@every_algorithm
@pytest.mark.parametrize(("env", "net"), [(eviction_env, ScorerNet), (ttl_env, DecisionNet)])
def test_the_scores_are_the_logits_or_q_values(
    algorithm: str, env: Callable[[], DecisionVecEnv], net: type[PolicyNet]
) -> None:
    model: Any = build(config(algorithm), env(), "cpu")
    scorer = net_of(model.policy)
    assert isinstance(scorer, net)
    observation = torch.from_numpy(model.env.reset())
    with torch.no_grad():
        scores = scorer(observation)  # (64, actions)
        if algorithm == "dqn":
            torch.testing.assert_close(model.q_net(observation), scores - scores.mean(dim=1, keepdim=True))
        else:
            logits = model.policy.get_distribution(observation).distribution.logits
            torch.testing.assert_close(logits, scores - scores.logsumexp(dim=1, keepdim=True))
            assert model.policy.predict_values(observation).tolist() == [[0.0]] * PARALLEL_CACHES
    actions, _ = model.predict(observation.numpy(), deterministic=True)
    np.testing.assert_array_equal(actions, scores.argmax(dim=1))


@every_algorithm
def test_all_weights_of_the_scorer_are_trained(algorithm: str) -> None:
    model = model_of(config(algorithm))
    before = [parameter.detach().clone() for parameter in net_of(model.policy).parameters()]
    model.learn(8_192)
    for name, old, new in zip("wbwbwb", before, net_of(model.policy).parameters(), strict=True):
        if new.numel() > 1:  # what is added to all scores alike, the last bias, makes no difference
            assert (old != new).any(), name


@every_algorithm
def test_the_latest_loss_is_known_after_the_first_gradient_step(algorithm: str) -> None:
    model = model_of(config(algorithm))
    assert latest_loss(model) is None
    model.learn(2_048)
    loss = latest_loss(model)
    assert loss is not None
    assert np.isfinite(loss)


@pytest.mark.parametrize("decision", ["admission", "ttl"])
def test_actions_at_a_miss_are_kept_alive_by_more_entropy_unless_another_is_given(decision: str) -> None:
    for algorithm in ("ppo", "a2c"):
        entropies = [
            hyperparameters(config(algorithm, **options))["ent_coef"]
            for options in ({}, {"decision": decision}, {"decision": decision, "ent_coef": 0.02})
        ]
        assert entropies[0] < 0.01 < 0.05 < entropies[1]
        assert entropies[2] == 0.02
    assert hyperparameters(config("dqn", decision=decision)) == hyperparameters(config("dqn"))


OTHER_VALUES = {
    "n_steps": 5,
    "n_epochs": 7,
    "ent_coef": 0.5,
    "clip_range": 0.3,
    "gradient_steps": 9,
    "buffer_size": 640,
    "exploration_fraction": 0.9,
    "exploration_final_eps": 0.4,
}
OWN = [(algorithm, option) for algorithm, options in OWN_OPTIONS.items() for option in options]


@pytest.mark.parametrize(("algorithm", "option"), OWN)
def test_each_option_of_an_algorithm_overrides_its_default_and_no_other(algorithm: str, option: str) -> None:
    value, default = OTHER_VALUES[option], hyperparameters(config(algorithm))
    changed = config(algorithm, **{option: value})
    expected = default | {option: value}
    if algorithm == "ppo":
        expected["batch_size"] = min(default["batch_size"], expected["n_steps"] * PARALLEL_CACHES)
    assert hyperparameters(changed) == expected
    model = model_of(changed)
    held = getattr(model, option)
    if option == "clip_range":
        held = held(1.0)
    assert held == value


@pytest.mark.parametrize(
    ("algorithm", "option"), [(a, o) for a in CLASSES for o in OTHER_VALUES if o not in OWN_OPTIONS[a]]
)
def test_an_option_of_another_algorithm_is_refused_by_name(algorithm: str, option: str) -> None:
    with pytest.raises(ConfigError, match=f"^{option}: not an option of {algorithm}, whose own are .*") as refused:
        parse(TrainConfig, {"algorithm": algorithm, option: OTHER_VALUES[option]})
    assert all(own in str(refused.value) for own in OWN_OPTIONS[algorithm])


def test_with_a2c_the_batch_and_the_rollout_are_given_once() -> None:
    with pytest.raises(ConfigError, match="give batch_size or n_steps, not both"):
        parse(TrainConfig, {"algorithm": "a2c", "batch_size": 512, "n_steps": 8})


def test_the_default_batches_are_in_the_range_that_suits_each_algorithm() -> None:
    assert 32 <= hyperparameters(config("dqn"))["batch_size"] <= 256
    assert 64 <= hyperparameters(config("ppo"))["batch_size"] <= 1_024
