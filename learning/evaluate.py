"""The judgement: the policy and what it is compared with, on requests that it has not seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cachesim.bounds import PFOO, pfoo_score
from cachesim.metrics import Score, score
from cachesim.policies.learned import SERVING_CANDIDATES
from cachesim.replay import BASELINES, BOUNDS, replay
from cachesim.sampled import create_caches, replay_until
from cachesim.scorer import Scorer
from learning.problem import CacheProblem
from schemas.errors import GateError

REFERENCE_BASELINE = "lru"  # the gap that a policy can close lies between this and the bound
REFERENCE_BOUND = "belady"


@dataclass(frozen=True)
class Evaluation:
    """Scores on the held-out span, each cache warmed by the requests before it.

    Attributes:
        policy: the learned policy's.
        baselines: of the classical policies, by name.
        bounds: of policies that know the future, by name; with a capacity in bytes also what none exceeds (PFOO).
    """

    policy: Score
    baselines: dict[str, Score]
    bounds: dict[str, Score]

    @property
    def best_baseline(self) -> str:
        """The baseline of the highest value ratio, known in hindsight only."""
        return max(self.baselines, key=lambda name: self.baselines[name].value_ratio or 0.0)

    @property
    def gap_closed(self) -> float | None:
        """Share of the distance from LRU to Belady that the policy covers; None when there is none."""
        return gap_closed(self.policy, self.baselines[REFERENCE_BASELINE], self.bounds[REFERENCE_BOUND])


def gap_closed(policy: Score, reference: Score, bound: Score) -> float | None:
    """Return (policy - reference) / (bound - reference) in value ratio; None when the bound is not above."""
    if policy.value_ratio is None or reference.value_ratio is None or bound.value_ratio is None:
        return None
    gap = bound.value_ratio - reference.value_ratio
    return (policy.value_ratio - reference.value_ratio) / gap if gap > 0 else None


def evaluate(problem: CacheProblem, scorer: Scorer, seed: int) -> Evaluation:
    """Replay the whole trace with the policy, each baseline and each bound; score the held-out span.

    Raises:
        GateError: no hit on the held-out span is worth anything, so nothing can be compared.
    """
    if not problem.values[problem.held_out].any():
        raise GateError("cache_weights: no hit on the held-out requests is worth anything; weigh another column")

    def judged(hit: NDArray[np.bool_]) -> Score:
        return score(problem.trace, hit, problem.held_out, problem.values)

    def classical(names: tuple[str, ...]) -> dict[str, Score]:
        return {name: judged(replay(problem.trace, name, problem.capacity).hit) for name in names}

    bounds = classical(BOUNDS)
    if problem.capacity.unit == "bytes":
        bounds[PFOO] = pfoo_score(problem.trace, problem.capacity, problem.held_out, problem.values)
    return Evaluation(judged(replay_scorer(problem, scorer, seed)), classical(BASELINES), bounds)


def replay_scorer(problem: CacheProblem, scorer: Scorer, seed: int) -> NDArray[np.bool_]:
    """Return which requests hit, bool (n,), with the scorer in charge from an empty cache on."""
    hit = np.zeros(len(problem.trace), np.bool_)
    cache = create_caches(problem.stream, problem.trace.n_keys, 1, seed)
    replay_until(cache, 0, problem.stream, len(problem.trace), scorer, SERVING_CANDIDATES, hit)
    return hit
