"""What was trained with the defaults can be exported: its files score 10,000 decision states as the policy does."""

from pathlib import Path

import pytest

from cachesim.traffic.energy import energy_trace
from learning.bundle.export import export_bundle
from learning.describe import decision_states, describe
from learning.evaluation.evaluate import evaluate
from learning.networks import ExportedPolicy
from learning.problem import build_problem
from learning.training.train import train
from schemas.options.train import TrainConfig

pytestmark = pytest.mark.slow


def test_a_policy_of_the_default_training_is_exported(tmp_path: Path) -> None:
    config = TrainConfig(algorithm="a2c")
    problem = build_problem(energy_trace(40_000, seed=0), config)
    trained = train(problem, config, lambda *_: None, lambda *_: None)
    states, scores = decision_states(problem, trained.scorer, config.seed)
    evaluation = evaluate(problem, trained.scorer, config.seed)
    policy = ExportedPolicy(trained.net, trained.normaliser)
    folder = export_bundle(policy, states, scores, describe(problem, trained, evaluation, config), tmp_path / "bundle")
    assert (folder / "policy.pt").is_file()
