"""The judgement: the policy and what it is compared with, on requests that it has not seen."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from cachesim.analysis.metrics import Score, gains, window_marks
from cachesim.eviction.scorer import Scorer
from cachesim.miss.decider import Decider
from learning.callbacks import OnProgress
from learning.evaluation.baselines import (
    Replay,
    best_of,
    clairvoyant_replays,
    classical_replays,
    problem_bound,
    reference_name,
    worth_showing,
)
from learning.evaluation.intervals import Difference, paired_difference
from learning.problem import CacheProblem
from learning.run_policy import Hits, replay_policy
from schemas.errors import ConfigError
from schemas.trace import FloatArray

POLICY = "policy"  # the learned policy, frozen as it was trained, beside its variants
WINDOWS = 40


@dataclass(frozen=True)
class Comparison:
    """One policy against another on the same held-out requests.

    Attributes:
        value_ratio: the difference of what the hits are worth, see `Score.value_ratio`, which decides.
        hit_ratio: the difference of the hit ratios; the same one where all hits are worth the same.
    """

    value_ratio: Difference
    hit_ratio: Difference


@dataclass(frozen=True)
class Timeline:
    """Value ratios over the held-out span, window by window.

    Attributes:
        edges: m + 1 rising positions in the trace, the ends of the windows.
        value_ratios: by name, one a window, at most 1; None where no request is worth anything.
    """

    edges: tuple[int, ...]
    value_ratios: dict[str, tuple[float | None, ...]]


@dataclass(frozen=True)
class Evaluation:
    """Scores on the held-out span, each cache warmed by the requests before it.

    Attributes:
        policy: the learned policy's, frozen as it was trained.
        variants: of other ways to run it, by name.
        baselines: of what it is compared with, by name, see `learning.evaluation.baselines`.
        bounds: of what knows the future, by name.
        bound: name of the one among `bounds` whose value ratio nothing exceeds.
        reference: name of the baseline from which the gap to the bound is told.
        comparisons: of the learned policy (`POLICY`) and each variant, by name, with the learned policy unless it is
            that, the best baseline and the reference, by name.
        timeline: of the learned policy, its variants, the best baseline and the reference.
    """

    policy: Score
    variants: dict[str, Score]
    baselines: dict[str, Score]
    bounds: dict[str, Score]
    bound: str
    reference: str
    comparisons: dict[str, dict[str, Comparison]]
    timeline: Timeline

    @property
    def learned(self) -> dict[str, Score]:
        """The learned policy and its variants."""
        return {POLICY: self.policy, **self.variants}

    @property
    def best_baseline(self) -> str:
        """The baseline of the highest value ratio, known in hindsight only."""
        return best_of(self.baselines)

    @property
    def gap_closed(self) -> float | None:
        """What `gaps_closed` says of the learned policy."""
        return self.gaps_closed[POLICY]

    @property
    def gaps_closed(self) -> dict[str, float | None]:
        """Share of the distance from reference to bound that each policy covers, by name; None when there is none."""
        reference, bound = self.baselines[self.reference], self.bounds[self.bound]
        return {name: gap_closed(found, reference, bound) for name, found in {**self.learned, **self.baselines}.items()}


def gap_closed(policy: Score, reference: Score, bound: Score) -> float | None:
    """Return (policy - reference) / (bound - reference) in value ratio; None when the bound is not above."""
    if policy.value_ratio is None or reference.value_ratio is None or bound.value_ratio is None:
        return None
    gap = bound.value_ratio - reference.value_ratio
    return (policy.value_ratio - reference.value_ratio) / gap if gap > 0 else None


def evaluate(
    problem: CacheProblem,
    policy: Scorer | Decider,
    seed: int,
    variants: Mapping[str, Replay] | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> Evaluation:
    """Replay the whole trace with the policy, each baseline and each bound; score the held-out span.

    Args:
        problem: what was learned.
        policy: the learned policy.
        seed: of the candidates it draws, and of the intervals.
        variants: replays of the whole trace with other ways to run the policy, by name: which requests hit, bool (n,).
        on_progress: receives how many policies were replayed, and how many there are, the tightest bound among them.

    Raises:
        ConfigError: a variant has the name of another policy.
    """
    variants, classical, clairvoyant = variants or {}, classical_replays(problem), clairvoyant_replays(problem)
    if taken := sorted({POLICY, *classical, *clairvoyant} & set(variants)):
        raise ConfigError(f"a variant cannot be called {taken[0]}: a policy of that name is judged beside it")
    learned: dict[str, Replay] = {POLICY: partial(replay_policy, problem, policy, seed), **variants}
    hits, (bound, bound_found) = _replayed(problem, {**learned, **classical, **clairvoyant}, on_progress)
    scores = {name: problem.score(hit, problem.held_out) for name, hit in hits.items()}
    baselines = worth_showing(problem, {name: scores[name] for name in classical})
    reference = reference_name(problem)
    references = dict.fromkeys((best_of(baselines), reference))
    shown = {name: _shown(problem, hits[name]) for name in (*learned, *references)}
    return Evaluation(
        policy=scores[POLICY],
        variants={name: scores[name] for name in variants},
        baselines=baselines,
        bounds={**{name: scores[name] for name in clairvoyant}, bound: bound_found},
        bound=bound,
        reference=reference,
        comparisons={
            name: {o: _compared(problem, shown[name], shown[o], seed) for o in (POLICY, *references) if o != name}
            for name in learned
        },
        timeline=_timeline(problem, shown),
    )


def _replayed(
    problem: CacheProblem, replays: Mapping[str, Replay], on_progress: OnProgress
) -> tuple[dict[str, Hits], tuple[str, Score]]:
    """Return what hits in each replay, by name, and the bound; tell the progress."""
    hits: dict[str, Hits] = {}
    to_do = len(replays) + 1
    for name, replay_one in replays.items():
        on_progress(len(hits), to_do)
        hits[name] = replay_one()
    on_progress(len(hits), to_do)
    bound = problem_bound(problem)
    on_progress(to_do, to_do)
    return hits, bound


class _Shown(NamedTuple):
    """What the policies that are compared did on the held-out span, (m,): hits, and what they gained."""

    hit: Hits
    gained: FloatArray


def _shown(problem: CacheProblem, hit: Hits) -> _Shown:
    return _Shown(hit[problem.held_out], gains(problem.trace, hit, problem.staleness_weight)[problem.held_out])


def _compared(problem: CacheProblem, one: _Shown, other: _Shown, seed: int) -> Comparison:
    values = problem.values[problem.held_out]
    return Comparison(
        value_ratio=paired_difference(one.gained, other.gained, values, seed),
        hit_ratio=paired_difference(one.hit, other.hit, np.ones(values.size), seed),
    )


def _timeline(problem: CacheProblem, shown: Mapping[str, _Shown]) -> Timeline:
    begin, values = problem.training, problem.values[problem.held_out]
    marks = window_marks(values.size, WINDOWS)
    worth = _sums(values, marks)
    return Timeline(
        edges=tuple(begin + mark for mark in marks),
        value_ratios={
            name: tuple(
                float(won / all_) if all_ > 0 else None
                for won, all_ in zip(_sums(values * one.gained, marks), worth, strict=True)
            )
            for name, one in shown.items()
        },
    )


def _sums(column: FloatArray, marks: Sequence[int]) -> list[float]:
    """Return the sum of a column between each two marks."""
    return [float(column[a:b].sum()) for a, b in itertools.pairwise(marks)]
