"""Hybrid at run time: learned eviction, and times to live that keep each endpoint inside its staleness budget."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cachesim.analysis.metrics import Score, stale_hits
from cachesim.eviction.scorer import Scorer
from cachesim.miss.ttl_rewards import DEFAULT_LADDER_S, lifetimes_within, require_ladder
from cachesim.replay import replay
from learning.problem import CacheProblem
from learning.run_policy import learned_options
from schemas.trace import FloatArray, Trace


@dataclass(frozen=True)
class Hybrid:
    """Learned eviction under times to live.

    Attributes:
        budget: the share of each endpoint's hits that may be stale.
        lifetime_s: by endpoint, chosen on the training span alone; None = until it is evicted, 0 = not stored.
        stale_ratio: by endpoint, the share of its hits on the held-out span that are stale; None without hits.
        hit: bool (n,), which requests of the whole trace hit.
        lru: how LRU scores on the held-out span under the same times to live.
    """

    budget: float
    lifetime_s: dict[str, float | None]
    stale_ratio: dict[str, float | None]
    hit: NDArray[np.bool_]
    lru: Score

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON, without the hits."""
        endpoints = {
            name: {"lifetime_s": self.lifetime_s[name], "stale_ratio": self.stale_ratio[name]}
            for name in self.lifetime_s
        }
        return {"budget": self.budget, "lru": asdict(self.lru), "by_endpoint": endpoints}


def hybrid(problem: CacheProblem, scorer: Scorer, budget: float, seed: int) -> Hybrid:
    """Replay the whole trace with the scorer in charge of eviction, and with times to live that fit a budget.

    Args:
        problem: of the eviction that was learned.
        scorer: the learned policy.
        budget: the share of each endpoint's hits that may be stale, in [0, 1].
        seed: of the candidates.

    Raises:
        ConfigError: the budget is outside its range.
        TraceError: the requests have no versions.
    """
    options = {**learned_options(problem, scorer), "seed": seed}
    lifetime_s = _lifetimes_s(problem, budget, options)
    ttl_s = lifetime_s[problem.trace.endpoint]
    hit = replay(problem.trace, "learned", problem.capacity, ttl_s=ttl_s, **options).hit
    lru = replay(problem.trace, "lru", problem.capacity, ttl_s=ttl_s).hit
    return Hybrid(
        budget=budget,
        lifetime_s=_by_endpoint(problem, lifetime_s),
        stale_ratio=_by_endpoint(problem, _stale_ratio(problem.trace, hit, problem.held_out)),
        hit=hit,
        lru=problem.score(lru, problem.held_out),
    )


def _lifetimes_s(problem: CacheProblem, budget: float, options: dict[str, Any]) -> FloatArray:
    """Return the times to live, (endpoints,), with which the learned eviction keeps to the budget on the training span.

    Those that would do under LRU come first. The learned eviction keeps some objects far longer, so that they grow
    stale: the endpoints that exceed the budget in a replay go down a rung, until none does.
    """
    span, ladder_s = problem.span, require_ladder(DEFAULT_LADDER_S)
    lifetime_s = lifetimes_within(span, problem.eviction_age_requests, budget)
    while True:
        hit = replay(span, "learned", problem.capacity, ttl_s=lifetime_s[span.endpoint], **options).hit
        over = _stale_ratio(span, hit, slice(None)) > budget
        if not over.any():
            return lifetime_s
        lifetime_s[over] = ladder_s[np.searchsorted(ladder_s, lifetime_s[over]) - 1]


def _stale_ratio(trace: Trace, hit: NDArray[np.bool_], span: slice) -> FloatArray:
    """Return the share of each endpoint's hits on a span that are stale, (endpoints,); NaN without hits."""
    endpoint, n = trace.endpoint[span], len(trace.endpoint_names)
    hits = np.bincount(endpoint, hit[span], n)
    stale = np.bincount(endpoint, stale_hits(trace, hit)[span], n)
    shares: FloatArray = np.divide(stale, hits, out=np.full(n, np.nan), where=hits > 0)
    return shares


def _by_endpoint(problem: CacheProblem, values: FloatArray) -> dict[str, float | None]:
    finite = [value if np.isfinite(value) else None for value in values.tolist()]
    return dict(zip(problem.trace.endpoint_names, finite, strict=True))
