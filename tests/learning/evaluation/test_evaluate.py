"""The judgement: held-out requests alone count, and the share of the gap is None where there is no gap."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cachesim.analysis.metrics import Score
from cachesim.eviction.caches import create_caches, replay_until
from cachesim.eviction.decisions import oldest_first
from cachesim.features.table import FEATURES
from cachesim.policies.learned import SERVING_CANDIDATES
from cachesim.replay import BASELINES, BOUNDS, replay
from cachesim.traffic.energy import energy_trace
from learning.evaluation.evaluate import Evaluation, Timeline, evaluate, gap_closed
from learning.problem import CacheProblem, build_problem
from learning.run_policy import replay_policy
from schemas.errors import ConfigError
from schemas.options.train import TrainConfig
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


def test_the_best_baseline_is_the_one_of_the_highest_value_and_the_gap_ends_at_the_bound() -> None:
    baselines = {"lru": scored(0.4), "lfu": scored(0.5), "fifo": scored(None)}
    bounds = {"belady": scored(0.5), "optimum": scored(0.6)}
    nothing = Timeline((0, 1), {})
    evaluation = Evaluation(scored(0.45), {"online": scored(0.5)}, baselines, bounds, "optimum", "lru", {}, nothing)
    assert evaluation.best_baseline == "lfu"
    assert evaluation.gap_closed == pytest.approx(0.25)
    shares = {"policy": 0.25, "online": 0.5, "lru": 0.0, "lfu": 0.5, "fifo": None}
    assert evaluation.gaps_closed == {n: None if x is None else pytest.approx(x) for n, x in shares.items()}


@pytest.fixture(scope="module")
def evaluation(hot_problem: CacheProblem) -> Evaluation:
    return evaluate(hot_problem, OLDEST_FIRST, seed=0)


def test_every_baseline_and_bound_is_judged_on_the_same_requests(evaluation: Evaluation) -> None:
    assert tuple(evaluation.baselines) == BASELINES
    assert tuple(evaluation.bounds) == (*BOUNDS, "optimum")
    scores = [evaluation.policy, *evaluation.baselines.values(), *evaluation.bounds.values()]
    assert {found.requests for found in scores} == {4_800}
    assert all(found.hit_ratio <= evaluation.bounds[evaluation.bound].hit_ratio for found in scores)


def test_bytes_have_a_bound_of_their_own(hot_trace: Trace) -> None:
    problem = build_problem(hot_trace, TrainConfig(cache_bytes=80 * int(hot_trace.size_bytes.mean())))
    evaluation = evaluate(problem, OLDEST_FIRST, seed=0)
    assert tuple(evaluation.bounds) == (*BOUNDS, "pfoo")
    assert evaluation.bound == "pfoo"
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
    np.testing.assert_array_equal(replay_policy(hot_problem, OLDEST_FIRST, 5), hit)


def test_an_evaluation_repeats_with_its_seed(hot_problem: CacheProblem, evaluation: Evaluation) -> None:
    assert evaluate(hot_problem, OLDEST_FIRST, seed=0) == evaluation
    assert evaluate(hot_problem, OLDEST_FIRST, seed=1).policy != evaluation.policy


@pytest.fixture(scope="module")
def with_variants(hot_problem: CacheProblem) -> Evaluation:
    """One way to run the policy that hits whatever came before, and one that equals LRU."""
    n = len(hot_problem.trace)
    seen_before = np.setdiff1d(np.arange(n), np.unique(hot_problem.trace.key, return_index=True)[1])
    everything = np.isin(np.arange(n), seen_before)
    same_as_lru = replay(hot_problem.trace, "lru", hot_problem.capacity).hit
    return evaluate(hot_problem, OLDEST_FIRST, 0, {"online": lambda: everything, "guarded": lambda: same_as_lru})


def test_every_policy_that_is_replayed_is_told_as_progress(hot_problem: CacheProblem) -> None:
    told: list[tuple[int, int | None]] = []
    replayed_at: list[int] = []

    def variant() -> NDArray[np.bool_]:
        replayed_at.append(told[-1][0])
        return np.zeros(len(hot_problem.trace), np.bool_)

    variants = {"online": variant, "guarded": variant}
    found = evaluate(hot_problem, OLDEST_FIRST, 0, variants, lambda done, total: told.append((done, total)))
    policies = len(found.learned) + len(found.baselines) + len(found.bounds)
    assert told == [(done, policies) for done in range(policies + 1)]
    assert replayed_at == [1, 2]


def test_variants_are_judged_apart_and_change_nothing_else(
    hot_problem: CacheProblem, evaluation: Evaluation, with_variants: Evaluation
) -> None:
    assert (with_variants.policy, with_variants.baselines) == (evaluation.policy, evaluation.baselines)
    assert with_variants.comparisons["policy"] == evaluation.comparisons["policy"]
    assert list(with_variants.variants) == ["online", "guarded"]
    assert with_variants.variants["guarded"] == evaluation.baselines["lru"]
    assert list(with_variants.learned) == ["policy", "online", "guarded"]
    assert evaluation.variants == {}


def test_each_way_to_run_the_policy_is_compared_with_lru_the_best_and_the_frozen_one(with_variants: Evaluation) -> None:
    best = with_variants.best_baseline
    assert best != "lru"
    assert set(with_variants.comparisons) == {"policy", "online", "guarded"}
    assert set(with_variants.comparisons["policy"]) == {"lru", best}
    assert set(with_variants.comparisons["online"]) == {"lru", best, "policy"}
    for name, others in with_variants.comparisons.items():
        for other, found in others.items():
            reference = {**with_variants.baselines, "policy": with_variants.policy}[other]
            difference = with_variants.learned[name].value_ratio - reference.value_ratio
            assert found.value_ratio.difference == pytest.approx(difference)
            assert found.hit_ratio == found.value_ratio  # every hit counts 1
    assert with_variants.comparisons["online"][best].value_ratio.low > 0
    assert with_variants.comparisons["guarded"][best].value_ratio.high < 0
    equal = with_variants.comparisons["guarded"]["lru"].value_ratio
    assert (equal.difference, equal.low, equal.high) == (0, 0, 0)


def test_a_variant_cannot_take_the_name_of_another_policy(hot_problem: CacheProblem) -> None:
    hit = np.zeros(len(hot_problem.trace), np.bool_)
    for name in ("policy", "lru", "belady"):
        with pytest.raises(ConfigError, match=f"a variant cannot be called {name}"):
            evaluate(hot_problem, OLDEST_FIRST, 0, {name: lambda: hit})


def test_the_windows_of_the_timeline_cut_the_held_out_span_and_add_up_to_the_scores(with_variants: Evaluation) -> None:
    timeline = with_variants.timeline
    assert (timeline.edges[0], timeline.edges[-1], len(timeline.edges)) == (7_200, 12_000, 41)
    assert list(timeline.value_ratios) == ["policy", "online", "guarded", with_variants.best_baseline, "lru"]
    for name, ratios in timeline.value_ratios.items():
        whole = {**with_variants.learned, **with_variants.baselines}[name].value_ratio
        assert np.mean(ratios) == pytest.approx(whole)  # windows of equal length and worth


def test_values_weigh_the_hits(hot_trace: Trace) -> None:
    problem = build_problem(hot_trace, TrainConfig(cache_size=80, cache_weights={"size_bytes": 1.0}))
    found = evaluate(problem, OLDEST_FIRST, seed=0).policy
    hit, sizes_bytes = replay_policy(problem, OLDEST_FIRST, 0)[7_200:], hot_trace.size_bytes[7_200:]
    assert found.value_ratio == pytest.approx(sizes_bytes[hit].sum() / sizes_bytes.sum())
    assert found.value_ratio == pytest.approx(found.byte_hit_ratio)
    assert found.value_ratio != pytest.approx(found.hit_ratio)


def test_saved_load_time_is_measured_against_cost_aware_gdsf_and_its_own_bound() -> None:
    """On simulated traffic GDSF, the only baseline that knows load times, is the best of them for that objective."""
    weights = {"load_time_ms": 1.0}
    problem = build_problem(energy_trace(10_000, seed=0), TrainConfig(cache_size=100, cache_weights=weights))
    found = evaluate(problem, OLDEST_FIRST, seed=0)
    assert found.best_baseline == "gdsf"
    assert (found.bound, "optimum" in found.bounds) == ("pfoo", False)
    for scored_ in [found.policy, *found.baselines.values(), *found.bounds.values()]:
        assert scored_.value_ratio == pytest.approx(scored_.saved_load_time_ratio, rel=1e-4)
        assert scored_.value_ratio <= found.bounds["pfoo"].value_ratio
    against = found.comparisons["policy"]["gdsf"]
    assert against.value_ratio.difference < 0 < against.hit_ratio.difference  # it trades hits for time
