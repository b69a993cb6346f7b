"""Hybrid at run time: learned eviction, and times to live that keep each endpoint inside its staleness budget."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cachesim.history import missing_values
from cachesim.lifetimes import lifetimes_within
from cachesim.metrics import Score, score, stale_hits
from cachesim.replay import replay
from cachesim.rollout import kept_requests
from cachesim.scorer import Scorer
from learning.problem import CacheProblem
from schemas.trace import FloatArray


@dataclass(frozen=True)
class Hybrid:
    """Learned eviction under times to live.

    Attributes:
        ttl_s: float64 (endpoints,), seconds, chosen on the training span alone.
        hit: bool (n,), which requests hit.
        score: on the held-out span.
        stale_by_endpoint: float64 (endpoints,), the share of its hits there that were stale, NaN without hits.
    """

    ttl_s: FloatArray
    hit: NDArray[np.bool_]
    score: Score
    stale_by_endpoint: FloatArray


def hybrid(problem: CacheProblem, scorer: Scorer, budget: float, history_multiple: int, seed: int) -> Hybrid:
    """Replay the whole trace with the scorer in charge of eviction, and with times to live that fit a budget.

    Args:
        problem: of the eviction that was learned, all keys of it (no `key_sample`).
        scorer: the learned policy.
        budget: the share of each endpoint's hits that may be stale, in [0, 1].
        history_multiple: as in training.
        seed: of the candidates.

    Raises:
        ConfigError: the budget is outside its range.
        TraceError: the requests have no versions.
    """
    trace, span, held_out = problem.trace, problem.span, problem.held_out
    ttl_s = lifetimes_within(span, kept_requests(span, problem.capacity), budget)
    hit = replay(
        trace,
        "learned",
        problem.capacity,
        ttl_s=ttl_s[trace.endpoint],
        seed=seed,
        scorer=scorer,
        capacity_objects=problem.capacity.mean_objects(span),
        missing=missing_values(span),
        history_multiple=history_multiple,
    ).hit
    endpoint, n = trace.endpoint[held_out], ttl_s.size
    hits = np.bincount(endpoint, hit[held_out], n)
    stale = np.bincount(endpoint, stale_hits(trace, hit)[held_out], n)
    shares = np.divide(stale, hits, out=np.full(n, np.nan), where=hits > 0)
    return Hybrid(ttl_s, hit, score(trace, hit, held_out, problem.values), shares)
