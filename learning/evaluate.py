"""The judgement: the policy and what it is compared with, on requests that it has not seen."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cachesim.bounds import bound_score
from cachesim.metrics import Score, score, window_marks
from cachesim.policies.learned import SERVING_CANDIDATES
from cachesim.replay import BASELINES, BOUNDS, replay
from cachesim.sampled import create_caches, replay_until
from cachesim.scorer import Scorer
from learning.follow import OnProgress
from learning.problem import CacheProblem
from learning.statistics import Difference, paired_difference
from schemas.errors import ConfigError
from schemas.trace import FloatArray

POLICY = "policy"  # the learned policy, frozen as it was trained, beside its variants
REFERENCE_BASELINE = "lru"  # the gap that a policy can close lies between this and the bound
WINDOWS = 40
Hits = NDArray[np.bool_]
Replay = Callable[[], Hits]


@dataclass(frozen=True)
class Comparison:
    """One policy against another on the same held-out requests.

    Attributes:
        value_ratio: the difference of what the hits are worth, which decides.
        hit_ratio: the difference of the hit ratios; the same one where all hits are worth the same.
    """

    value_ratio: Difference
    hit_ratio: Difference


@dataclass(frozen=True)
class Timeline:
    """Value ratios over the held-out span, window by window.

    Attributes:
        edges: m + 1 rising positions in the trace, the ends of the windows.
        value_ratios: by name, one a window, in [0, 1]; None where no request is worth anything.
    """

    edges: tuple[int, ...]
    value_ratios: dict[str, tuple[float | None, ...]]


@dataclass(frozen=True)
class Evaluation:
    """Scores on the held-out span, each cache warmed by the requests before it.

    Attributes:
        policy: the learned policy's, frozen as it was trained.
        variants: of other ways to run it, by name.
        baselines: of the classical policies, by name.
        bounds: of what knows the future, by name.
        bound: name of the one among `bounds` whose value ratio nothing exceeds.
        comparisons: of the learned policy (`POLICY`) and each variant, by name, with the learned policy unless it is
            that, the best baseline and LRU, by name.
        timeline: of the learned policy, its variants, the best baseline and LRU.
    """

    policy: Score
    variants: dict[str, Score]
    baselines: dict[str, Score]
    bounds: dict[str, Score]
    bound: str
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
        """Share of the distance from LRU to the bound that each policy covers, by name; None when there is none."""
        reference, bound = self.baselines[REFERENCE_BASELINE], self.bounds[self.bound]
        return {name: gap_closed(found, reference, bound) for name, found in {**self.learned, **self.baselines}.items()}


def best_of(baselines: Mapping[str, Score]) -> str:
    """Return the name of the highest value ratio, the first of equals."""
    return max(baselines, key=lambda name: baselines[name].value_ratio or 0.0)


def gap_closed(policy: Score, reference: Score, bound: Score) -> float | None:
    """Return (policy - reference) / (bound - reference) in value ratio; None when the bound is not above."""
    if policy.value_ratio is None or reference.value_ratio is None or bound.value_ratio is None:
        return None
    gap = bound.value_ratio - reference.value_ratio
    return (policy.value_ratio - reference.value_ratio) / gap if gap > 0 else None


def evaluate(
    problem: CacheProblem,
    scorer: Scorer,
    seed: int,
    variants: Mapping[str, Replay] | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> Evaluation:
    """Replay the whole trace with the policy, each baseline and each bound; score the held-out span.

    Args:
        problem: what was learned.
        scorer: the learned policy.
        seed: of the candidates it draws, and of the intervals.
        variants: replays of the whole trace with other ways to run the policy, by name: which requests hit, bool (n,).
        on_progress: receives how many policies were replayed, and how many there are, the tightest bound among them.

    Raises:
        ConfigError: a variant has the name of another policy.
    """
    variants = variants or {}
    if taken := sorted({POLICY, *BASELINES, *BOUNDS} & set(variants)):
        raise ConfigError(f"a variant cannot be called {taken[0]}: a policy of that name is judged beside it")
    span, values = problem.held_out, problem.values

    def judged(hits: Mapping[str, Hits]) -> dict[str, Score]:
        return {name: score(problem.trace, hit, span, values) for name, hit in hits.items()}

    replays: dict[str, Replay] = {
        POLICY: partial(replay_scorer, problem, scorer, seed),
        **variants,
        **{name: partial(_replay_classical, problem, name) for name in (*BASELINES, *BOUNDS)},
    }
    hits: dict[str, Hits] = {}
    to_do = len(replays) + 1
    for done, (name, replay_one) in enumerate(replays.items()):
        on_progress(done, to_do)
        hits[name] = replay_one()
    on_progress(len(replays), to_do)
    bound, bound_found = bound_score(problem.trace, problem.capacity, span, values)
    on_progress(to_do, to_do)
    learned, classical, clairvoyant = (
        {name: hits[name] for name in names} for names in ((POLICY, *variants), BASELINES, BOUNDS)
    )
    baselines = judged(classical)
    shown = {**learned, **{name: classical[name] for name in (best_of(baselines), REFERENCE_BASELINE)}}
    return Evaluation(
        policy=judged(learned)[POLICY],
        variants=judged({name: learned[name] for name in variants}),
        baselines=baselines,
        bounds={**judged(clairvoyant), bound: bound_found},
        bound=bound,
        comparisons={name: _comparisons(problem, name, shown, seed) for name in learned},
        timeline=_timeline(problem, shown),
    )


def _comparisons(problem: CacheProblem, name: str, shown: Mapping[str, Hits], seed: int) -> dict[str, Comparison]:
    """Return how the policy of that name compares with the learned one, unless it is that, and with the baselines."""
    span, references = problem.held_out, [other for other in shown if other in (POLICY, *BASELINES) and other != name]
    return {
        other: Comparison(
            *(
                paired_difference(shown[name][span], shown[other][span], values[span], seed)
                for values in (problem.values, np.ones(len(problem.trace)))
            )
        )
        for other in references
    }


def _timeline(problem: CacheProblem, shown: Mapping[str, Hits]) -> Timeline:
    begin, values = problem.training, problem.values[problem.held_out]
    marks = window_marks(values.size, WINDOWS)
    worth = _sums(values, marks)
    return Timeline(
        edges=tuple(begin + mark for mark in marks),
        value_ratios={
            name: tuple(
                float(gained / all_) if all_ > 0 else None
                for gained, all_ in zip(_sums(values * hit[problem.held_out], marks), worth, strict=True)
            )
            for name, hit in shown.items()
        },
    )


def _sums(column: FloatArray, marks: Sequence[int]) -> list[float]:
    """Return the sum of a column between each two marks."""
    return [float(column[a:b].sum()) for a, b in itertools.pairwise(marks)]


def _replay_classical(problem: CacheProblem, name: str) -> Hits:
    return replay(problem.trace, name, problem.capacity).hit


def replay_scorer(problem: CacheProblem, scorer: Scorer, seed: int) -> Hits:
    """Return which requests hit, bool (n,), with the scorer in charge from an empty cache on."""
    hit = np.zeros(len(problem.trace), np.bool_)
    cache = create_caches(problem.stream, problem.trace.n_keys, 1, seed)
    replay_until(cache, 0, problem.stream, len(problem.trace), scorer, SERVING_CANDIDATES, hit)
    return hit
