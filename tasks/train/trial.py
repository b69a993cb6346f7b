"""One trial of a sweep: a training that is judged on the validation part alone, wherever it runs.

It takes what pickles and reads the rows itself, so that a worker needs the database, MLflow and this program, and
nothing of the process that started the sweep.
"""

import time
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from infra.database.connection import open_database
from infra.settings import load_settings
from learning.problem import build_problem
from learning.training.train import train
from learning.training.validation import Validation
from schemas.errors import ErsError, StorageError, TraceError
from schemas.options.train import TrainConfig
from schemas.trace import Trace
from tasks.extract.feature_columns import choose_features, named_columns
from tasks.extract.read import RowQuery, read_rows, require_features
from tasks.extract.to_trace import to_trace
from tasks.tracking.tracker import Tracker, open_tracker
from tasks.tracking.trials import (
    CURVE,
    OPTIONS_TAG,
    SIZE_TAG,
    TRIAL_TAG,
    TrialOutcome,
    complete_curves,
    end_attempts,
    end_trial,
)
from tasks.train.proposals import should_stop


@dataclass(frozen=True)
class TrialJob:
    """What a worker is told of a trial.

    Attributes:
        number: of the trial in the sweep.
        sweep: run of the sweep in MLflow.
        config: the training.
        size: of the cache; trials of one size compare.
        key: of the data, options and code.
        query: gives the rows, the same for all trials, without feature columns.
        left_out: ids of the rows that are invalid.
        fingerprint: of what the rows come to, see `fingerprint_of`.
        prune: whether it may be stopped early.
    """

    number: int
    sweep: str
    config: TrainConfig
    size: str
    key: str
    query: RowQuery
    left_out: NDArray[np.int64]
    fingerprint: str
    prune: bool


class _StoppedError(Exception):
    """The trial need not go on."""


class _SweepEndedError(Exception):
    """Nobody waits for the trial any more."""


def trial(job: TrialJob) -> TrialOutcome:
    """Train and score as `job` says, as a run below that of the sweep. May be repeated.

    What fails is an outcome too, so that one bad trial does not end the sweep.

    Raises:
        StorageError, OSError: the database or MLflow failed; it may be repeated.
    """
    started_s = time.perf_counter()
    tracker = open_tracker(load_settings())
    end_attempts(tracker, job.sweep, job.number)
    tags = {TRIAL_TAG: str(job.number), SIZE_TAG: job.size, OPTIONS_TAG: job.key, "algorithm": job.config.algorithm}
    tracker.start_run(f"trial {job.number}", job.config.model_dump(mode="json"), tags, parent=job.sweep)
    watch = _Watch(job, tracker)
    try:
        outcome = _scored(job, watch)
    except (StorageError, OSError) as error:
        with suppress(StorageError):
            tracker.fail(str(error))
        raise
    except _SweepEndedError:
        outcome = TrialOutcome("lost", reason="the sweep has ended")
    except ErsError as error:
        outcome = TrialOutcome("failed", reason=str(error))
    except Exception as error:  # a defect is told, as the other trials may do without it
        outcome = TrialOutcome("failed", reason=f"{type(error).__name__}: {error}")
    seconds = round(time.perf_counter() - started_s, 3)
    return end_trial(tracker, replace(outcome, curve=tuple(watch.curve), seconds=seconds), watch.timesteps)


def _scored(job: TrialJob, watch: "_Watch") -> TrialOutcome:
    problem = build_problem(read_same_rows(job), job.config)
    watch.decisive = Validation.of(problem, job.config).decisive
    try:
        trained = train(problem, job.config, watch.on_metric, lambda _done, _total: None)
    except _StoppedError:
        return TrialOutcome("pruned", score=max(watch.curve))
    if trained.validation_ratio is None:
        raise TraceError("the validation part has no request that tells a score; give a larger validation_fraction")
    return TrialOutcome("complete", score=trained.validation_ratio)


def read_same_rows(job: TrialJob) -> Trace:
    """Return the requests of the sweep, with the feature columns of the trial.

    Raises:
        TraceError: they are not those that the sweep found.
        StorageError: the database failed.
    """
    config, engine = job.config, open_database(load_settings())
    try:
        plan = require_features(engine, config.table, config.feature_columns)
        columns = named_columns(plan, config.feature_columns, tuple(config.cache_weights))
        rows = read_rows(engine, replace(job.query, feature_columns=columns))
    finally:
        engine.dispose()
    rows = rows[~rows["id"].isin(job.left_out)].reset_index(drop=True)
    rows, _ = choose_features(rows, config.training_requests(len(rows)))
    trace = to_trace(rows)
    if fingerprint_of(trace) != job.fingerprint:
        raise TraceError(
            f"the rows of {config.table} are not those that the sweep began with: they changed meanwhile, or DB_URL of "
            "the worker names another database; start the sweep again"
        )
    return trace


def fingerprint_of(trace: Trace) -> str:
    """Return the fingerprint of requests whatever columns are learned from."""
    return replace(trace, column_names=(), text_names=(), text_values=()).sha256


class _Watch:
    """Sees the curves of a training, and ends it where it need not go on.

    Attributes:
        decisive: name of the curve that a score is a point of.
        curve: its points.
        timesteps: decisions up to the latest one.
    """

    def __init__(self, job: TrialJob, tracker: Tracker) -> None:
        self.decisive = ""
        self.curve: list[float] = []
        self.timesteps = 0
        self._job, self._tracker = job, tracker
        self._others: dict[str, list[float]] = {}

    def on_metric(self, name: str, value: float, step: int) -> None:
        """Take a point; raise _StoppedError or _SweepEndedError when that was enough."""
        self._tracker.metric(f"curves/{name}", value, step)
        self.timesteps = step
        if name != self.decisive:
            return
        self.curve.append(value)
        self._tracker.metric(CURVE, value, len(self.curve) - 1)
        self._tracker.flush()
        self._go_on_or_raise(step)

    def _go_on_or_raise(self, step: int) -> None:
        job = self._job
        if not self._tracker.is_running(job.sweep):
            raise _SweepEndedError
        if not job.prune or step >= job.config.timesteps:
            return
        others = complete_curves(self._tracker, job.sweep, job.size, self._others)
        if should_stop(self.curve, others):
            raise _StoppedError
