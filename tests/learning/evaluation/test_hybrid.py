"""Learned eviction within a staleness budget."""

from dataclasses import replace

import numpy as np
import pytest

from cachesim.eviction.decisions import oldest_first
from cachesim.features.table import FEATURES
from cachesim.replay import replay
from cachesim.traffic.energy import energy_trace
from learning.evaluation.hybrid import hybrid
from learning.problem import CacheProblem, build_problem
from learning.run_policy import replay_policy
from schemas.errors import ConfigError, TraceError
from schemas.options.train import TrainConfig

OLDEST_FIRST = oldest_first(len(FEATURES))


@pytest.fixture(scope="module")
def problem() -> CacheProblem:
    return build_problem(energy_trace(8_000, seed=4), TrainConfig(cache_fraction=0.2))


def test_a_smaller_budget_serves_fewer_stale_hits(problem: CacheProblem) -> None:
    runs = [hybrid(problem, OLDEST_FIRST, budget, 0) for budget in (0.0, 0.05, 1.0)]
    stale = [problem.score(run.hit, slice(0, problem.training)).stale_ratio for run in runs]
    assert stale[0] == 0
    assert 0 < stale[1] <= 0.05 < stale[2]  # type: ignore[operator]
    assert set(runs[2].lifetime_s.values()) == {None}
    for name in problem.trace.endpoint_names:
        short, longer = (np.inf if run.lifetime_s[name] is None else run.lifetime_s[name] for run in runs[:2])
        assert short <= longer  # type: ignore[operator]
    for run in runs:
        assert set(run.stale_ratio) == set(problem.trace.endpoint_names)
        assert all(share is None or 0 <= share <= 1 for share in run.stale_ratio.values())


def test_a_budget_of_all_hits_is_the_learned_eviction_alone_and_lru_alone_beside_it(problem: CacheProblem) -> None:
    run = hybrid(problem, OLDEST_FIRST, 1.0, 0)
    np.testing.assert_array_equal(run.hit, replay_policy(problem, OLDEST_FIRST, 0))
    assert run.lru == problem.score(replay(problem.trace, "lru", problem.capacity).hit, problem.held_out)


def test_the_times_to_live_do_not_depend_on_later_requests(problem: CacheProblem) -> None:
    shorter = build_problem(problem.trace[:6_000], TrainConfig(cache_size=problem.capacity.limit, test_fraction=0.2))
    assert shorter.training == problem.training
    lifetimes = [hybrid(one, OLDEST_FIRST, 0.1, 0).lifetime_s for one in (problem, shorter)]
    assert lifetimes[0] == lifetimes[1]


def test_a_budget_beyond_all_hits_is_refused(problem: CacheProblem) -> None:
    with pytest.raises(ConfigError, match="staleness budget"):
        hybrid(problem, OLDEST_FIRST, 1.5, 0)


def test_requests_without_versions_are_refused_before_anything_is_learned(problem: CacheProblem) -> None:
    unversioned = replace(problem.trace, version=None)
    with pytest.raises(TraceError, match="need origin_version"):
        build_problem(unversioned, TrainConfig(staleness_budget=0.1))
