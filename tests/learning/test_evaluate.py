"""The judgement: held-out requests alone count, and the share of the gap is None where there is no gap."""

import numpy as np
import pytest

from cachesim.features import FEATURES
from cachesim.metrics import Score
from cachesim.policies.learned import SERVING_CANDIDATES
from cachesim.replay import BASELINES, BOUNDS, replay
from cachesim.rollout import oldest_first
from cachesim.sampled import create_caches, replay_until
from learning.evaluate import Evaluation, evaluate, gap_closed, replay_scorer
from learning.problem import CacheProblem, build_problem
from schemas.config import TrainConfig
from schemas.trace import Trace

OLDEST_FIRST = oldest_first(len(FEATURES))


def scored(value_ratio: float | None) -> Score:
    return Score(100, 0.5, 0.5, None, None, None, None, value_ratio)


@pytest.mark.parametrize(
    ("policy", "reference", "bound", "expected"),
    [
        (0.4, 0.4, 0.6, 0.0),
        (0.5, 0.4, 0.6, 0.5),
        (0.6, 0.4, 0.6, 1.0),
        (0.3, 0.4, 0.6, -0.5),
        (0.4, 0.4, 0.4, None),
        (0.5, 0.4, 0.3, None),
        (None, 0.4, 0.6, None),
        (0.4, None, 0.6, None),
        (0.4, 0.4, None, None),
    ],
)
def test_the_gap_closed_is_the_share_of_the_way_to_the_bound(
    policy: float | None, reference: float | None, bound: float | None, expected: float | None
) -> None:
    found = gap_closed(scored(policy), scored(reference), scored(bound))
    assert found == (None if expected is None else pytest.approx(expected))


def test_the_best_baseline_is_the_one_of_the_highest_value() -> None:
    baselines = {"lru": scored(0.4), "lfu": scored(0.5), "fifo": scored(None)}
    evaluation = Evaluation(scored(0.45), baselines, {"belady": scored(0.6)})
    assert evaluation.best_baseline == "lfu"
    assert evaluation.gap_closed == pytest.approx(0.25)


@pytest.fixture(scope="module")
def evaluation(hot_problem: CacheProblem) -> Evaluation:
    return evaluate(hot_problem, OLDEST_FIRST, seed=0)


def test_every_baseline_and_bound_is_judged_on_the_same_requests(evaluation: Evaluation) -> None:
    assert tuple(evaluation.baselines) == BASELINES
    assert tuple(evaluation.bounds) == BOUNDS
    scores = [evaluation.policy, *evaluation.baselines.values(), *evaluation.bounds.values()]
    assert {found.requests for found in scores} == {4_800}
    assert all(found.hit_ratio <= evaluation.bounds["min-bypass"].hit_ratio for found in scores)


def test_bytes_have_a_bound_of_their_own(hot_trace: Trace) -> None:
    problem = build_problem(hot_trace, TrainConfig(cache_bytes=80 * int(hot_trace.size_bytes.mean())))
    evaluation = evaluate(problem, OLDEST_FIRST, seed=0)
    assert tuple(evaluation.bounds) == (*BOUNDS, "pfoo")
    for found in [evaluation.policy, *evaluation.baselines.values(), *evaluation.bounds.values()]:
        assert found.requests == 4_800
        assert found.byte_hit_ratio <= evaluation.bounds["pfoo"].byte_hit_ratio
        assert found.value_ratio <= evaluation.bounds["pfoo"].value_ratio


def test_sampled_lru_is_judged_close_to_lru(evaluation: Evaluation) -> None:
    assert evaluation.policy.hit_ratio == pytest.approx(evaluation.baselines["lru"].hit_ratio, abs=0.03)


def test_a_score_counts_held_out_requests_of_a_cache_warmed_before(
    hot_problem: CacheProblem, evaluation: Evaluation
) -> None:
    hit = replay(hot_problem.trace, "lru", hot_problem.capacity).hit
    assert evaluation.baselines["lru"].hit_ratio == hit[hot_problem.training :].mean()
    assert replay(hot_problem.trace[hot_problem.held_out], "lru", hot_problem.capacity).hit.mean() < hit[-4_800:].mean()


def test_the_policy_serves_with_32_candidates(hot_problem: CacheProblem) -> None:
    caches = create_caches(hot_problem.stream, hot_problem.trace.n_keys, 1, 5)
    hit = np.zeros(len(hot_problem.trace), np.bool_)
    replay_until(caches, 0, hot_problem.stream, len(hot_problem.trace), OLDEST_FIRST, 32, hit)
    assert SERVING_CANDIDATES == 32
    np.testing.assert_array_equal(replay_scorer(hot_problem, OLDEST_FIRST, 5), hit)


def test_an_evaluation_repeats_with_its_seed(hot_problem: CacheProblem, evaluation: Evaluation) -> None:
    assert evaluate(hot_problem, OLDEST_FIRST, seed=0) == evaluation
    assert evaluate(hot_problem, OLDEST_FIRST, seed=1).policy != evaluation.policy


def test_values_weigh_the_hits(hot_trace: Trace) -> None:
    problem = build_problem(hot_trace, TrainConfig(cache_size=80, cache_weights={"size_bytes": 1.0}))
    found = evaluate(problem, OLDEST_FIRST, seed=0).policy
    hit, sizes_bytes = replay_scorer(problem, OLDEST_FIRST, 0)[7_200:], hot_trace.size_bytes[7_200:]
    assert found.value_ratio == pytest.approx(sizes_bytes[hit].sum() / sizes_bytes.sum())
    assert found.value_ratio == pytest.approx(found.byte_hit_ratio)
    assert found.value_ratio != pytest.approx(found.hit_ratio)
