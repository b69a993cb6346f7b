"""The trials of a sweep in MLflow: runs below that of the sweep, which all workers share."""

from dataclasses import dataclass, replace
from typing import Literal

from support.process_owner import is_gone
from tasks.tracking.tracker import OWNER_TAG, PARENT_TAG, Tracker

State = Literal["complete", "pruned", "failed", "lost"]
FOUND: tuple[State, ...] = ("complete", "pruned")  # what need not be tried again
SWEEP_TAG = "sweep.key"  # of the sweep: its data, options and code
TRIAL_TAG, STATE_TAG, SIZE_TAG = "sweep.trial", "sweep.state", "sweep.size"  # of a trial
OPTIONS_TAG = "sweep.options"  # of a trial: as SWEEP_TAG
CURVE, SCORE, SECONDS = "validation", "score", "seconds"  # metrics of a trial


@dataclass(frozen=True)
class TrialOutcome:
    """What came of a trial.

    Attributes:
        state: complete, pruned = stopped early, failed = see `reason`, lost = its worker ended, each time it was tried.
        score: on the validation part; of a pruned one the best up to then; None where it has none.
        curve: the scores while it was trained, the first one from before.
        reason: why it failed or was lost.
        run_id: in MLflow; "" where it has none.
        seconds: duration.
    """

    state: State
    score: float | None = None
    curve: tuple[float, ...] = ()
    reason: str = ""
    run_id: str = ""
    seconds: float = 0.0


def end_trial(tracker: Tracker, outcome: TrialOutcome, step: int) -> TrialOutcome:
    """Write what came of the trial that the tracker runs, after `step` decisions; end it, return it with its run."""
    tracker.tag(STATE_TAG, outcome.state)
    tracker.metric(SECONDS, outcome.seconds, step)
    if outcome.score is not None:
        tracker.metric(SCORE, outcome.score, step)
    if outcome.state == "failed":
        tracker.fail(outcome.reason)
    elif outcome.state == "lost":
        tracker.kill(tracker.run_id)
    else:
        tracker.finish()
    return replace(outcome, run_id=tracker.run_id)


def end_attempts(tracker: Tracker, sweep: str, trial: int | None = None) -> None:
    """Mark what still seems to run below a sweep, or of one trial of it, as KILLED: its worker has ended."""
    tags = {PARENT_TAG: sweep} | ({} if trial is None else {TRIAL_TAG: str(trial)})
    for run in tracker.runs(tags, beside=sweep):
        if run.info.status == "RUNNING":
            with tracker.errors():
                tracker.client.set_tag(run.info.run_id, STATE_TAG, "lost")
            tracker.kill(run.info.run_id)


def complete_curves(tracker: Tracker, sweep: str, size: str, known: dict[str, list[float]]) -> list[list[float]]:
    """Return the curves of the complete trials of one size.

    Args:
        tracker: the MLflow store.
        sweep: run of the sweep.
        size: of the cache.
        known: curves by run that were read before; new ones are added.
    """
    tags = {PARENT_TAG: sweep, STATE_TAG: "complete", SIZE_TAG: size}
    for run in tracker.runs(tags, beside=sweep):
        if run.info.run_id not in known:
            known[run.info.run_id] = tracker.curve(run.info.run_id, CURVE)
    return list(known.values())


def found_outcomes(tracker: Tracker, sweep: str) -> dict[str, TrialOutcome]:
    """Return what came of the trials of a sweep that need not be tried again, by `OPTIONS_TAG`."""
    found: dict[str, TrialOutcome] = {}
    for state in FOUND:
        for run in tracker.runs({PARENT_TAG: sweep, STATE_TAG: state}, beside=sweep):
            run_id, metrics = run.info.run_id, run.data.metrics
            curve = tuple(tracker.curve(run_id, CURVE))
            outcome = TrialOutcome(state, metrics.get(SCORE), curve, "", run_id, metrics.get(SECONDS, 0.0))
            found[run.data.tags[OPTIONS_TAG]] = outcome
    return found


def interrupted_sweep(tracker: Tracker, key: str) -> str | None:
    """Return the latest run of a sweep of this key that ended before its time; None where there is none."""
    for run in tracker.runs({SWEEP_TAG: key}):
        ended = run.info.status in ("KILLED", "FAILED")
        if ended or (run.info.status == "RUNNING" and is_gone(run.data.tags.get(OWNER_TAG, ""))):
            return str(run.info.run_id)
    return None
