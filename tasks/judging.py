"""The judgement of a policy, with what it found sent to MLflow."""

from collections.abc import Iterator
from dataclasses import asdict

from cachesim.decider import Decider
from cachesim.scorer import Scorer
from learning.evaluate import POLICY, Evaluation, evaluate
from learning.follow import OnProgress
from learning.problem import CacheProblem
from tasks.tracking import Tracker


def judge_bundle(
    problem: CacheProblem, policy: Scorer | Decider, seed: int, tracker: Tracker, on_progress: OnProgress
) -> Evaluation:
    """Score the policy of a bundle, the baselines and the bounds on the judged span; see `learning.evaluate`."""
    evaluation = evaluate(problem, policy, seed, on_progress=on_progress)
    log_scores(tracker, evaluation, 0)
    return evaluation


def log_scores(tracker: Tracker, evaluation: Evaluation, step: int) -> None:
    """Send what an evaluation found to the tracker, as metrics `test.*`."""
    for name, value in _metrics(evaluation):
        if value is not None:
            tracker.metric(f"test.{name}", value, step)


def _metrics(evaluation: Evaluation) -> Iterator[tuple[str, float | None]]:
    """Yield each measure of each score, each difference with its interval, and the gaps closed: names and values."""
    for name, score in {**evaluation.learned, **evaluation.baselines, **evaluation.bounds}.items():
        yield from ((f"{measure}.{name}", value) for measure, value in asdict(score).items() if measure != "requests")
    for name, comparisons in evaluation.comparisons.items():
        for other, comparison in comparisons.items():
            for part, value in asdict(comparison.value_ratio).items():
                yield f"value_ratio_{part}.{name}.{other}", value
    for name in evaluation.learned:
        yield ("gap_closed" if name == POLICY else f"gap_closed.{name}"), evaluation.gaps_closed[name]
