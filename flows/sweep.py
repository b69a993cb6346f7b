"""Flow `sweep`: many settings of a training side by side, the best of which is trained, judged and registered."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.engine import run_page
from flows.engine.kernels import kernels_on_the_way
from flows.engine.runtime import STORAGE_RETRIES, config_flow, io_task, progress, say
from flows.engine.workers import THREADS, Workers
from flows.shared.policies import open_store, tracked
from flows.shared.requests import REPORTS, Requests, StepClock
from flows.shared.sweep_search import SameRows, Search, Trial
from flows.shared.sweep_summary import outcome
from flows.shared.sweep_summary import summary as summary  # the result of this flow as text
from flows.train import train, training_requests
from infra.database.connection import open_database
from infra.settings import Settings, load_settings
from learning.training.checkpoint import DATA_OPTIONS, identity
from schemas.errors import ErsError, StorageError
from schemas.options.space import Choices
from schemas.options.sweep import SweepConfig
from schemas.options.train import TrainConfig
from schemas.tables import EPOCH
from tasks.reports.sweep import PLOT, write_sweep_report
from tasks.tracking.run_info import describe_run, log_data, run_tags
from tasks.tracking.tracker import PARENT_TAG, Tracker
from tasks.tracking.trials import SCORE, SWEEP_TAG, TrialOutcome, end_attempts, found_outcomes, interrupted_sweep
from tasks.train.trial import TrialJob, fingerprint_of, trial

if TYPE_CHECKING:
    from prefect import Task

NOT_SEARCHED = {*DATA_OPTIONS, "parallel", "train_best", "seeds", "hold_back"}  # what trials do not depend on


@config_flow(SweepConfig)
def sweep(config: SweepConfig) -> dict[str, Any]:
    """Try many settings of a training side by side; train, judge and register the best of each size."""
    settings, clock = load_settings(), StepClock()
    with kernels_on_the_way() as wait_for_kernels:
        requests, origin = _read(settings, config, clock)
        wait_for_kernels()  # or each worker would compile them
    rows = _same_rows(requests)
    with clock.step("open"):
        tracker = open_store(settings)
        key = identity(rows.fingerprint, config.model_dump(mode="json", exclude=NOT_SEARCHED))
        former = interrupted_sweep(tracker, key)
        found = found_outcomes(tracker, former) if former else {}
    if former:
        tracker.adopt(former)
        say(f"going on with the sweep of MLflow run {former}: {len(found)} of its trials need not be repeated")
    params = {**config.model_dump(mode="json"), "space": config.space_texts}
    tags = {"algorithm": config.algorithm, "decision": config.decision, "data_fingerprint": rows.fingerprint}
    tags |= {SWEEP_TAG: key, **run_tags("python -m flows sweep")}
    with tracked(tracker, f"sweep-{config.decision}-{config.algorithm}", params, tags) as run_id:
        trace = requests.trace
        log_data(tracker, trace, config.training_requests(len(trace)), *origin)
        with clock.step("trials"):
            trials = _tried(tracker, settings, config, Search(config, rows, run_id, found))
        with clock.step("report"):
            result = _reported(tracker, settings.ers_home / REPORTS, config, requests, trials)
        result["best"] = [_trained(tracker, config, rows, best) for best in _best(trials)]
        tracker.tag("models", "; ".join(_named(best) for best in result["best"] if best["trained"]))
        describe_run(tracker, f"```\n{outcome(result)}\n```", run_page.address())
    return {**result, "seconds": clock.seconds}


def _read(settings: Settings, config: SweepConfig, clock: StepClock) -> tuple[Requests, tuple[str, dict[str, Any]]]:
    """Return the requests with all columns that a trial may learn from, and where they are from."""
    axis = config.axes.get("feature_columns")
    sets: Sequence[tuple[str, ...]] = (config.feature_columns,)
    if isinstance(axis, Choices):
        sets = tuple(axis.values.values())
    columns = tuple(dict.fromkeys(name for names in sets for name in names))
    engine = open_database(settings)
    try:
        requests = training_requests(engine, settings, config.training({}, feature_columns=columns), clock)
        return requests, requests.origin(engine, config.source)
    finally:
        engine.dispose()


def _same_rows(requests: Requests) -> SameRows:
    last = EPOCH + timedelta(microseconds=requests.watermark.timestamp_us)
    query = replace(requests.query, until=last + timedelta(microseconds=1), feature_columns=())
    return SameRows(query, requests.validation.report.invalid, fingerprint_of(requests.trace))


def _tried(tracker: Tracker, settings: Settings, config: SweepConfig, search: Search) -> list[Trial]:
    """Run the search on the workers that the settings name; no trial is left running."""
    kind, run_id = settings.ers_task_runner, tracker.run_id
    at_once = config.parallel or (1 if kind == THREADS else len(os.sched_getaffinity(0)))
    try:
        task: Task[[TrialJob], TrialOutcome] = io_task(trial, retries=STORAGE_RETRIES, run_name="trial {job.number}")
        side_by_side: Workers[TrialJob, TrialOutcome] = Workers(task, kind, at_once)
        with side_by_side as workers, progress("sweep", "trials") as on_progress:
            try:
                return list(search.run(workers, at_once, on_progress))
            except BaseException:
                tracker.kill(run_id)  # trials end when they see it, wherever they run
                raise
    finally:
        with suppress(StorageError):
            end_attempts(tracker, run_id)


def _reported(
    tracker: Tracker, reports: Path, config: SweepConfig, requests: Requests, trials: list[Trial]
) -> dict[str, Any]:
    """Leave table and plot in MLflow and in a report; return the result, without the best.

    Raises:
        ErsError: not one trial succeeded.
    """
    told = [one.as_dict() for one in sorted(trials, key=lambda one: one.number)]
    label = "validation value ratio" if _is_weighed(config) else "validation hit ratio"
    folder = io_task(write_sweep_report, name="report")(reports / f"sweep-{tracker.run_id}", config.axes, told, label)
    tracker.log_artifacts(folder)
    tracker.image(folder / PLOT, "plots/trials")
    result = {
        "run_id": tracker.run_id,
        "tracking_uri": tracker.shown_uri,
        "algorithm": config.algorithm,
        "decision": config.decision,
        "space": config.space_texts,
        "score": label,
        "data": {
            "requests": len(requests.trace),
            "training_requests": config.training_requests(len(requests.trace)),
            "fingerprint": fingerprint_of(requests.trace),
            "table": requests.query.table,
            "watermark": str(requests.watermark),
        },
        "validation_fraction": config.validation_fraction,
        "trials": told,
        "best": [],
        "report": str(folder),
    }
    best = _best(trials)
    if len(best) == 1:  # of one size: the scores of several do not compare
        tracker.metric(SCORE, best[0].outcome.score or 0.0, 0)
    if not best:
        reason = next((one["reason"] for one in told if one["reason"]), "all were stopped early")
        raise ErsError(f"none of {len(told)} trials succeeded; the first: {reason}", {**result, "seconds": {}})
    return result


def _is_weighed(config: TrainConfig) -> bool:
    return bool(config.cache_weights) or (config.decision == "ttl" and config.staleness_weight != 0)


def _best(trials: list[Trial]) -> list[Trial]:
    """Return the best trial of each size, the first of equals."""
    best: dict[str, Trial] = {}
    for one in sorted(trials, key=lambda one: one.number):
        size = str(one.size)
        if one.outcome.state != "complete" or one.outcome.score is None:
            continue
        if size not in best or one.outcome.score > (best[size].outcome.score or 0.0):
            best[size] = one
    return list(best.values())


def _trained(tracker: Tracker, config: SweepConfig, rows: SameRows, best: Trial) -> dict[str, Any]:
    """Train the best with several seeds if asked to, by the flow `train`; return it with what that gave."""
    told: dict[str, Any] = {**best.as_dict(), "trained": None}
    if not config.train_best:
        return told
    training = config.training(best.as_dict()["options"], until=rows.query.until)
    say(f"training the best, trial {best.number}, with {training.seeds} seeds")
    result = train(**training.model_dump())
    with tracker.errors():
        tracker.client.set_tag(result["run_id"], PARENT_TAG, tracker.run_id)
    kept = {name: result[name] for name in ("run_id", "model", "bundle", "report", "best_baseline")}
    kept["test"] = result["test"]["policy"]
    kept["baseline"] = result["test"]["baselines"][result["best_baseline"]]
    return {**told, "trained": kept}


def _named(best: dict[str, Any]) -> str:
    model = best["trained"]["model"]
    return f"{model['name']} version {model['version']} ({best['size']})"
