"""Flow `train`: from recorded requests to a registered policy that was judged on requests it had not seen."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cachesim.compiled import nothing_is_cached
from flows.runtime import config_flow, io_task, progress, say
from infra.database import open_database
from infra.settings import Settings, load_settings
from learning.describe import evaluation_dict
from learning.problem import CacheProblem, build_problem
from learning.train import require_device
from schemas.config import IngestConfig, SimulateConfig, TrainConfig
from schemas.errors import ConfigError, StorageError, TraceError
from schemas.expectations import MIN_REQUESTS
from schemas.names import nearest
from schemas.tables import cache_metrics
from schemas.trace import Trace
from tasks.extract import HOW_TO_FILL, RowQuery, is_empty, read_rows, require_features, to_trace
from tasks.ingest import IngestedSource, ingest_file
from tasks.learn import export, judge, learn, model_row
from tasks.registry import RegisteredModel, heal, register
from tasks.report import write_report
from tasks.simulate import record_simulated
from tasks.tracking import Tracker, open_tracker
from tasks.validate import validate_rows

NO_SOURCE = "none"
WEIGHABLE_COLUMNS = ("load_time_ms", "size_bytes")  # beside the chosen feature columns
STORAGE_RETRIES = 2


class StepClock:
    """Names the steps of a run on stderr and keeps how long each took, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the step `name`."""
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)
        say(f"{name:<9} {self.seconds[name]:6.1f} s")


@dataclass(frozen=True)
class Outcome:
    """What a run left behind: the MLflow run, the registered version, the bundle and the report, and the scores."""

    run_id: str
    tracking_uri: str
    model: RegisteredModel
    bundle: Path
    report: Path
    evaluation: dict[str, Any]


@config_flow(TrainConfig)
def train(config: TrainConfig) -> dict[str, Any]:
    """Learn what the cache should keep, judge it on later requests, export it and register it."""
    settings, clock = load_settings(), StepClock()
    engine = open_database(settings)
    try:
        trace = _requests(engine, config, clock)
        if nothing_is_cached():
            say("the kernels are compiled first: once for this version of the code, less than half a minute")
        with clock.step("prepare"):
            problem = build_problem(trace, config)
        with clock.step("open"):
            tracker = io_task(open_tracker, retries=STORAGE_RETRIES)(settings)
            for healed in heal(engine, tracker):
                say(healed)
        outcome = _run(engine, tracker, problem, config, settings, clock)
    finally:
        engine.dispose()
    return _result(problem, config, outcome, clock)


def _requests(engine: sa.Engine, config: TrainConfig, clock: StepClock) -> Trace:
    require_features(engine, config.feature_columns)
    require_device(config.device)
    _require_weights(config)
    with clock.step("record"):
        source_id = _record(engine, config)
    query = RowQuery(source_id, config.since, config.until, config.max_queries, config.feature_columns)
    with clock.step("extract"):
        rows = io_task(read_rows, retries=STORAGE_RETRIES)(engine, query)
    with clock.step("validate"):
        io_task(validate_rows)(rows).require()
        return to_trace(rows)


def _require_weights(config: TrainConfig) -> None:
    """Raise ConfigError unless `cache_weights` are numbers >= 0 of columns that are read, one of them above 0."""
    known = [*WEIGHABLE_COLUMNS, *config.feature_columns]
    for name, weight in config.cache_weights.items():
        if name not in known:
            raise ConfigError(
                f"cache_weights: {name} is neither {', '.join(WEIGHABLE_COLUMNS)} nor one of feature_columns"
                f"{nearest(name, known)}"
            )
        if not (math.isfinite(weight) and weight >= 0):
            raise ConfigError(f"cache_weights: the weight of {name} must be a number >= 0, got {weight}")
    if config.cache_weights and not any(config.cache_weights.values()):
        raise ConfigError("cache_weights: all weights are 0; give one above 0, or none for hits that count alike")


def _record(engine: sa.Engine, config: TrainConfig) -> int | None:
    """Fill the table as `source` says; return which recorded source to read, or None for all rows."""
    if config.source == NO_SOURCE and is_empty(engine):
        raise TraceError(f"the table {cache_metrics.name} is empty; {HOW_TO_FILL}")
    if config.source not in (None, NO_SOURCE):
        with progress("ingest", "rows") as on_progress:
            recorded = io_task(ingest_file, retries=STORAGE_RETRIES)(
                engine, IngestConfig(source=str(config.source), map=config.map), on_progress, MIN_REQUESTS
            )
        say(_recorded(recorded))
        return recorded.source_id
    if config.source is None and is_empty(engine):
        say("the table cache_metrics is empty: recording simulated traffic of an energy data API first")
        with progress("simulate", "rows") as on_progress:
            recorded = io_task(record_simulated, retries=STORAGE_RETRIES)(engine, SimulateConfig(), on_progress)
        say(_recorded(recorded))
    return None


def _recorded(source: IngestedSource) -> str:
    lines = [f"{source.name}: {source.rows:,} requests, {source.added_rows:,} of them new"]
    if source.rejected_rows:
        first = f", the first: {source.first_rejections[0]}" if source.first_rejections else ""
        lines.append(f"{source.rejected_rows:,} broken lines left out{first}")
    if source.skipped_rows:
        lines.append(f"{source.skipped_rows:,} requests left out that no cache may answer")
    return "\n".join(lines)


def _run(
    engine: sa.Engine,
    tracker: Tracker,
    problem: CacheProblem,
    config: TrainConfig,
    settings: Settings,
    clock: StepClock,
) -> Outcome:
    tags = {"algorithm": config.algorithm, "decision": config.decision, "data_fingerprint": problem.trace.sha256}
    run_id = tracker.start_run(f"{config.decision}-{config.algorithm}", config.model_dump(mode="json"), tags)
    try:
        outcome = _learn(engine, tracker, run_id, problem, config, settings, clock)
    except BaseException as error:
        with suppress(StorageError):  # where MLflow itself fails, the first failure is the one to tell
            tracker.fail(str(error) or type(error).__name__)
        raise
    tracker.finish()
    return outcome


def _learn(
    engine: sa.Engine,
    tracker: Tracker,
    run_id: str,
    problem: CacheProblem,
    config: TrainConfig,
    settings: Settings,
    clock: StepClock,
) -> Outcome:
    name = f"{config.decision}-{config.algorithm}-{run_id}"
    with clock.step("train"), progress("train", "decisions") as on_progress:
        trained, curves = io_task(learn)(problem, config, tracker, on_progress)
    with clock.step("evaluate"):
        evaluation = io_task(judge)(problem, trained, config, tracker)
        scores = evaluation_dict(evaluation)
    with clock.step("export"):
        bundle = io_task(export)(problem, trained, evaluation, config, settings.ers_home / "bundles" / name)
    with clock.step("report"):
        report = io_task(write_report)(settings.ers_home / "reports" / name, config.algorithm, scores, curves)
        tracker.log_artifacts(report, "report")
    with clock.step("register"):
        row = model_row(problem, trained, evaluation, config, curves, engine.dialect.name)
        model = io_task(register, retries=STORAGE_RETRIES)(engine, tracker, run_id, bundle, row)
    return Outcome(run_id, tracker.shown_uri, model, bundle, report, scores)


def _result(problem: CacheProblem, config: TrainConfig, outcome: Outcome, clock: StepClock) -> dict[str, Any]:
    return {
        "run_id": outcome.run_id,
        "tracking_uri": outcome.tracking_uri,
        "algorithm": config.algorithm,
        "model": {"name": outcome.model.name, "version": outcome.model.version, "stage": outcome.model.stage},
        "bundle": str(outcome.bundle),
        "report": str(outcome.report),
        "data": {
            "requests": len(problem.trace),
            "distinct_keys": problem.trace.distinct_keys,
            "fingerprint": problem.trace.sha256,
            "training_requests": problem.training,
        },
        "cache": {problem.capacity.unit: problem.capacity.limit},
        **outcome.evaluation,
        "seconds": clock.seconds,
    }


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text: the table of scores, the verdict, and the paths to look at."""
    return "\n".join([_heading(result), "", *_table(result), "", *_verdict(result), "", *_paths(result)])


def _heading(result: dict[str, Any]) -> str:
    data, (unit, limit) = result["data"], next(iter(result["cache"].items()))
    held_out = data["requests"] - data["training_requests"]
    return (
        f"Scores on the last {held_out:,} of {data['requests']:,} requests ({data['distinct_keys']:,} distinct keys), "
        f"cache of {limit:,} {unit}:"
    )


def _table(result: dict[str, Any]) -> list[str]:
    test = result["test"]
    rows = [(f"{result['algorithm']} (learned)", test["policy"])]
    rows += sorted(test["baselines"].items(), key=lambda row: row[1]["value_ratio"], reverse=True)
    rows += [(f"{name} (knows the future)", score) for name, score in test["bounds"].items()]
    columns = ("hit_ratio", "byte_hit_ratio", "saved_load_time_ratio")
    width = max(len(name) for name, _ in rows)
    lines = [f"  {'policy':<{width}}  " + "  ".join(f"{c.replace('_', ' '):>21}" for c in columns)]
    for name, score in rows:
        cells = ("-" if score[c] is None else f"{score[c]:.4f}" for c in columns)
        lines.append(f"  {name:<{width}}  " + "  ".join(f"{cell:>21}" for cell in cells))
    return lines


def _verdict(result: dict[str, Any]) -> list[str]:
    best, test = result["best_baseline"], result["test"]
    difference = test["policy"]["value_ratio"] - test["baselines"][best]["value_ratio"]
    word = "beats" if difference > 0 else "does not beat"
    lines = [f"The learned policy {word} the best baseline in hindsight, {best}, by {difference:+.4f}."]
    if result["gap_closed"] is not None:
        lines.append(f"It closes {result['gap_closed']:.1%} of the gap from LRU to Belady.")
    return lines


def _paths(result: dict[str, Any]) -> list[str]:
    model = result["model"]
    return [
        f"model   {model['name']} version {model['version']} (stage {model['stage']}), MLflow run {result['run_id']}",
        f"bundle  {result['bundle']}",
        f"report  {result['report']}",
        f"look    {_where_to_look(result['tracking_uri'])}",
    ]


def _where_to_look(tracking_uri: str) -> str:
    if tracking_uri.startswith(("http://", "https://")):
        return tracking_uri
    return f"{Path(sys.executable).with_name('mlflow')} ui --backend-store-uri {tracking_uri}"
