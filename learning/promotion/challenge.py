"""Two bundles on the same requests: the challenger against the champion, or against a baseline where there is none."""

from dataclasses import dataclass
from functools import partial

from cachesim.analysis.metrics import Score
from cachesim.capacity import Capacity
from learning.bundle.compiled import compiled_policy
from learning.bundle.load import LoadedBundle
from learning.callbacks import OnProgress
from learning.evaluation.baselines import Replay
from learning.evaluation.evaluate import POLICY, Comparison, Evaluation, evaluate
from learning.evaluation.intervals import Difference
from learning.promotion.problem import bundle_problem
from learning.run_policy import replay_policy
from schemas.errors import ConfigError
from schemas.trace import Trace

CHAMPION = "champion"


@dataclass(frozen=True)
class Duel:
    """What came of a duel.

    Attributes:
        evaluation: of the challenger; the champion is the variant `CHAMPION` of it.
        opponent: `CHAMPION`, or without one the reference among the baselines: LRU, of ttl its eviction alone.
    """

    evaluation: Evaluation
    opponent: str

    @property
    def challenger_score(self) -> Score:
        """The challenger's."""
        return self.evaluation.policy

    @property
    def opponent_score(self) -> Score:
        """The opponent's."""
        return {**self.evaluation.baselines, **self.evaluation.variants}[self.opponent]

    @property
    def comparison(self) -> Comparison:
        """By how much the challenger exceeds the opponent, with the intervals."""
        if self.opponent != CHAMPION:
            return self.evaluation.comparisons[POLICY][self.opponent]
        found = self.evaluation.comparisons[CHAMPION][POLICY]
        return Comparison(value_ratio=_reversed(found.value_ratio), hit_ratio=_reversed(found.hit_ratio))


def duel(
    challenger: LoadedBundle,
    champion: LoadedBundle | None,
    trace: Trace,
    judged_from: int,
    seed: int,
    capacity: Capacity | None = None,
    key_sample: float = 1.0,
    on_progress: OnProgress = lambda *_: None,
) -> Duel:
    """Judge two bundles on the same requests, each as its own training encoded them.

    The cache and what a hit is worth are the challenger's.

    Args:
        challenger: the bundle that is to serve.
        champion: the one that serves; None = there is none yet.
        trace: n requests, with the columns that either needs.
        judged_from: position of the first request that judges; those before it only fill the caches.
        seed: of the candidates they draw, and of the intervals.
        capacity: of the cache that is served; None = the challenger's in training.
        key_sample: the share of the keys that the trace holds.
        on_progress: see `learning.evaluation.evaluate.evaluate`.

    Raises:
        ConfigError: they take different decisions, or see `bundle_problem`.
        TraceError, BundleError, GateError: see `bundle_problem`.
    """
    problem = bundle_problem(challenger.metadata, trace, judged_from, capacity, key_sample)
    variants: dict[str, Replay] = {}
    if champion is not None:
        if champion.metadata.decision != challenger.metadata.decision:
            decisions = f"{challenger.metadata.decision} and {champion.metadata.decision}"
            raise ConfigError(f"policies that take different decisions cannot be compared: {decisions}")
        served = problem.served_capacity
        theirs = bundle_problem(champion.metadata, trace, judged_from, served, key_sample, weights={})
        variants[CHAMPION] = partial(replay_policy, theirs, compiled_policy(champion), seed)
    evaluation = evaluate(problem, compiled_policy(challenger), seed, variants, on_progress)
    return Duel(evaluation, CHAMPION if champion else evaluation.reference)


def _reversed(found: Difference) -> Difference:
    low, high = (None if end is None else 0.0 - end for end in (found.high, found.low))
    return Difference(0.0 - found.difference, low, high)
