"""What goes into a bundle beside the network: the states it is checked on, and its description."""

import json

import numpy as np
import pytest
import torch

from cachesim.eviction.caches import INCOMING
from cachesim.eviction.scorer import Scorer, score, workspace
from cachesim.features.table import FEATURES, Normaliser, fit_normaliser, transform
from learning.describe import decision_states, describe, evaluation_dict
from learning.evaluation.evaluate import Evaluation, evaluate
from learning.networks import ExportedPolicy, ScorerNet
from learning.problem import CacheProblem
from learning.training.train import TrainedPolicy
from schemas.bundle import PolicyDescription
from schemas.options.train import TrainConfig

CONFIG = TrainConfig(algorithm="ppo", cache_size=80, seed=4)


@pytest.fixture(scope="module")
def trained(hot_problem: CacheProblem) -> TrainedPolicy:
    """A random network with a fitted normaliser."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    rows = (2.0 ** rng.uniform(0, 12, (500, len(FEATURES)))).astype(np.float32)
    normaliser: Normaliser = fit_normaliser(rows, (), 80.0)
    return TrainedPolicy(ScorerNet(len(FEATURES)), normaliser, {"learning_rate": 2e-3}, 300_000, 12.5)


@pytest.fixture(scope="module")
def evaluation(hot_problem: CacheProblem, trained: TrainedPolicy) -> Evaluation:
    return evaluate(hot_problem, trained.scorer, seed=4)


@pytest.mark.parametrize("count", [1, 64, 65, 1_000])
def test_as_many_states_are_given_as_asked_for(hot_problem: CacheProblem, trained: TrainedPolicy, count: int) -> None:
    states, scores = decision_states(hot_problem, trained.scorer, seed=0, states=count)
    assert (states.shape, states.dtype) == ((count, 16, len(FEATURES)), np.float32)
    assert (scores.shape, scores.dtype) == ((count, 16), np.float32)


def replay_scores(scorer: Scorer, state: np.ndarray) -> np.ndarray:
    """What the kernel of the replay computes for one decision."""
    work = workspace(scorer, len(state))
    work.rows[:, : state.shape[1]] = state
    for row in work.rows:
        transform(row, scorer.normaliser)
    score(scorer, work.rows, work.hidden, work.scores)
    return work.scores


def test_the_scores_are_those_of_the_replay_and_of_the_exported_policy(
    hot_problem: CacheProblem, trained: TrainedPolicy
) -> None:
    states, scores = decision_states(hot_problem, trained.scorer, seed=0, states=500)
    for state, given in zip(states, scores, strict=True):
        np.testing.assert_array_equal(replay_scores(trained.scorer, state), given)
    policy = ExportedPolicy(trained.net, trained.normaliser)
    with torch.no_grad():
        exported = policy(torch.from_numpy(states.reshape(-1, len(FEATURES)))).numpy().reshape(scores.shape)
    np.testing.assert_allclose(exported, scores, atol=1e-5, rtol=1e-5)


def test_the_states_are_raw_varied_and_of_the_training_span(hot_problem: CacheProblem, trained: TrainedPolicy) -> None:
    states, _ = decision_states(hot_problem, trained.scorer, seed=0, states=2_000)
    names = [feature.name for feature in FEATURES]
    assert (states[:, -INCOMING - 1, names.index("age")] == 0).all()
    assert states[..., names.index("age")].max() < hot_problem.training
    sizes_bytes = states[..., names.index("size_bytes")]
    assert set(np.unique(sizes_bytes)) <= set(hot_problem.span.size_bytes.tolist())
    assert np.unique(sizes_bytes).size > 20
    assert (states[..., names.index("gap_1")] == -1).any()
    assert len(np.unique(states.reshape(len(states), -1), axis=0)) > 1_500


def test_states_repeat_with_their_seed(hot_problem: CacheProblem, trained: TrainedPolicy) -> None:
    first, again, other = (decision_states(hot_problem, trained.scorer, seed, states=100)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_description_tells_what_was_learned_from_what(
    hot_problem: CacheProblem, trained: TrainedPolicy, evaluation: Evaluation
) -> None:
    found = describe(hot_problem, trained, evaluation, CONFIG)
    assert [feature.name for feature in found.features] == [feature.name for feature in hot_problem.features]
    assert [f.name for f in found.features if f.missing == "-1"] == ["gap_1", "gap_2", "gap_3", "gap_4"]
    assert (found.capacity.limit, found.capacity.unit, found.capacity.objects) == (80, "objects", 80)
    assert (found.candidates.training, found.candidates.use) == (16, 32)
    assert (found.algorithm, found.seeds["training"]) == ("ppo", 4)
    assert found.data.fingerprint == hot_problem.trace.sha256
    assert (found.data.requests, found.data.training.requests) == (12_000, 7_200)
    assert found.data.training.last_timestamp.timestamp() == 7_199
    assert found.data.last_timestamp.timestamp() == 11_999


def test_a_description_survives_json(hot_problem: CacheProblem, trained: TrainedPolicy, evaluation: Evaluation) -> None:
    found = describe(hot_problem, trained, evaluation, CONFIG)
    assert PolicyDescription.model_validate_json(found.model_dump_json()) == found


def test_an_evaluation_as_json_names_every_score(evaluation: Evaluation) -> None:
    document = json.loads(json.dumps(evaluation_dict(evaluation), allow_nan=False))
    assert document["test"]["policy"]["hit_ratio"] == evaluation.policy.hit_ratio
    assert document["test"]["policy"]["saved_load_time_ratio"] is None  # no load time is known
    assert list(document["test"]["baselines"]) == list(evaluation.baselines)
    assert list(document["test"]["bounds"]) == list(evaluation.bounds)
    assert document["best_baseline"] == evaluation.best_baseline
    assert (document["bound"], document["gap_closed"]) == ("optimum", evaluation.gap_closed)
    assert document["gaps_closed"] == evaluation.gaps_closed
    against = document["test"]["comparisons"]["policy"]["lru"]["value_ratio"]
    assert against["low"] <= against["difference"] <= against["high"]
    assert document["test"]["variants"] == {}
