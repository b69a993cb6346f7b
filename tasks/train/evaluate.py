"""The judgement of finished policies: of one, with what it found sent to MLflow, or of a challenger by the gate."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from cachesim.analysis.metrics import Score
from cachesim.eviction.scorer import Scorer
from cachesim.miss.decider import Decider
from learning.bundle.load import POLICY as POLICY_FILE
from learning.bundle.load import LoadedBundle
from learning.callbacks import OnProgress
from learning.evaluation.evaluate import POLICY, Evaluation, evaluate
from learning.problem import CacheProblem
from learning.promotion.challenge import Duel, duel
from learning.promotion.gate import Check, Evidence, Verdict, verdict
from learning.promotion.latency import decision_latency
from learning.promotion.problem import JudgedSpan
from schemas.options.promote import PromoteConfig
from schemas.trace import Trace
from tasks.tracking.tracker import Tracker


@dataclass(frozen=True)
class Judgement:
    """What the gate says of a challenger, and what it says that on."""

    verdict: Verdict
    duel: Duel
    span: JudgedSpan
    data_fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        scores = {"challenger": asdict(self.duel.challenger_score), "opponent": asdict(self.duel.opponent_score)}
        return {
            "gate": self.verdict.as_dict(),
            "opponent": self.duel.opponent,
            "judged": self.span.as_dict(),
            "data_fingerprint": self.data_fingerprint,
            "difference": asdict(self.duel.comparison),
            "scores": scores,
        }


def judge_challenger(
    challenger: LoadedBundle,
    champion: LoadedBundle | None,
    trace: Trace,
    span: JudgedSpan,
    config: PromoteConfig,
    on_progress: OnProgress,
) -> Judgement:
    """Judge a challenger against the champion, or LRU without one, on a span of a trace; see `learning.promotion.gate`.

    That its bundle and the requests were checked is among what is told.
    """
    found = duel(
        challenger, champion, trace, span.start, config.seed, key_sample=config.key_sample, on_progress=on_progress
    )
    size = (challenger.folder / POLICY_FILE).stat().st_size
    evidence = Evidence.of(found, span, size, decision_latency(challenger))
    checked = (
        Check("bundle", True, f"its hashes and golden rows are right: {challenger.sha256[:12]}"),
        Check("data", True, f"{len(trace):,} requests were validated"),
    )
    said = verdict(evidence, config)
    return Judgement(Verdict((*said.checks, *checked)), found, span, trace.sha256)


def judge_bundle(
    problem: CacheProblem, policy: Scorer | Decider, seed: int, tracker: Tracker, on_progress: OnProgress
) -> Evaluation:
    """Score the policy of a bundle, the baselines and the bounds on the judged span, see
    `learning.evaluation.evaluate`.
    """
    evaluation = evaluate(problem, policy, seed, on_progress=on_progress)
    log_scores(tracker, evaluation, 0)
    return evaluation


def log_scores(tracker: Tracker, evaluation: Evaluation, step: int) -> None:
    """Send what an evaluation found to the tracker, as metrics of the sections `test...`."""
    for name, value in _metrics(evaluation):
        if value is not None:
            tracker.metric(name, value, step)


def _metrics(evaluation: Evaluation) -> Iterator[tuple[str, float | None]]:
    """Yield names and values; MLflow shows what stands before the slash as a section.

    First the learned policy: its measures, its difference to the best baseline, the gap that it closes. Then the
    measures of all others, and each difference with its interval.
    """
    policy, best = evaluation.policy, evaluation.comparisons[POLICY][evaluation.best_baseline].value_ratio
    yield from ((f"test/{measure}", value) for measure, value in _measures(policy))
    yield from (
        ("test/over_best", best.difference),
        ("test/over_best_low", best.low),
        ("test/over_best_high", best.high),
    )
    yield "test/gap_closed", evaluation.gap_closed
    groups = {"variants": evaluation.variants, "baselines": evaluation.baselines, "bounds": evaluation.bounds}
    for group, scores in groups.items():
        for name, score in scores.items():
            yield from ((f"test_{group}/{measure}.{name}", value) for measure, value in _measures(score))
    for name in evaluation.variants:
        yield f"test_variants/gap_closed.{name}", evaluation.gaps_closed[name]
    for name, comparisons in evaluation.comparisons.items():
        for other, comparison in comparisons.items():
            for part, value in asdict(comparison.value_ratio).items():
                yield f"test_comparisons/{part}.{name}.{other}", value


def _measures(score: Score) -> Iterator[tuple[str, float | None]]:
    return ((measure, value) for measure, value in asdict(score).items() if measure != "requests")
