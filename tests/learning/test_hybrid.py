"""Learned eviction within a staleness budget."""

import numpy as np
import pytest

from cachesim.features import FEATURES
from cachesim.rollout import oldest_first
from cachesim.synthetic import energy_trace
from learning.evaluate import replay_scorer
from learning.hybrid import hybrid
from learning.problem import CacheProblem, build_problem
from schemas.config import TrainConfig
from schemas.errors import ConfigError

OLDEST_FIRST = oldest_first(len(FEATURES))


@pytest.fixture(scope="module")
def problem() -> CacheProblem:
    return build_problem(energy_trace(8_000, seed=4), TrainConfig(cache_fraction=0.2))


def test_a_smaller_budget_serves_fewer_stale_hits(problem: CacheProblem) -> None:
    runs = [hybrid(problem, OLDEST_FIRST, budget, 8, 0) for budget in (0.0, 0.05, 1.0)]
    stale = [run.score.stale_ratio for run in runs]
    assert stale[0] < stale[1] < stale[2]  # type: ignore[operator]
    assert np.isinf(runs[2].ttl_s).all()
    assert (runs[0].ttl_s <= runs[1].ttl_s).all()
    for run in runs:
        shares = run.stale_by_endpoint
        assert shares.shape == (len(problem.trace.endpoint_names),)
        assert ((shares >= 0) & (shares <= 1) | np.isnan(shares)).all()


def test_a_budget_of_all_hits_is_the_learned_eviction_alone(problem: CacheProblem) -> None:
    alone = replay_scorer(problem, OLDEST_FIRST, 0)
    np.testing.assert_array_equal(hybrid(problem, OLDEST_FIRST, 1.0, 8, 0).hit, alone)


def test_the_times_to_live_do_not_depend_on_later_requests(problem: CacheProblem) -> None:
    shorter = build_problem(problem.trace[:6_000], TrainConfig(cache_size=problem.capacity.limit, test_fraction=0.2))
    assert shorter.training == problem.training
    np.testing.assert_array_equal(
        hybrid(problem, OLDEST_FIRST, 0.1, 8, 0).ttl_s, hybrid(shorter, OLDEST_FIRST, 0.1, 8, 0).ttl_s
    )


def test_a_budget_beyond_all_hits_is_refused(problem: CacheProblem) -> None:
    with pytest.raises(ConfigError, match="staleness budget"):
        hybrid(problem, OLDEST_FIRST, 1.5, 8, 0)
