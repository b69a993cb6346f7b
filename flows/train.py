"""Flow `train`: from recorded requests to a registered policy that was judged on requests it had not seen."""

import math
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from flows.compiling import kernels_on_the_way
from flows.reading import STORAGE_RETRIES, StepClock, read_requests
from flows.runtime import config_flow, io_task, progress, say
from infra.database import open_database
from infra.settings import Settings, load_settings
from learning.describe import evaluation_dict
from learning.problem import CacheProblem, build_problem
from learning.train import require_device
from schemas.config import TrainConfig
from schemas.errors import ConfigError, StorageError
from schemas.names import nearest
from schemas.trace import Trace
from tasks.checkpoints import remove_checkpoints
from tasks.extract import require_features
from tasks.learn import export, judge, learn, model_row
from tasks.registry import RegisteredModel, heal, register
from tasks.report import write_report
from tasks.tracking import Tracker, open_tracker

WEIGHABLE_COLUMNS = ("load_time_ms", "size_bytes")  # beside the chosen feature columns


@dataclass(frozen=True)
class Outcome:
    """What a run left behind: the MLflow run, the registered version, the bundle and the report, and the scores.

    With several seeds also how they compare, see `learning.seeds.seeds_summary`.
    """

    run_id: str
    tracking_uri: str
    model: RegisteredModel
    bundle: Path
    report: Path
    evaluation: dict[str, Any]
    seeds: dict[str, Any] | None


@config_flow(TrainConfig)
def train(config: TrainConfig) -> dict[str, Any]:
    """Learn what the cache should keep, judge it on later requests, export it and register it."""
    settings, clock = load_settings(), StepClock()
    engine = open_database(settings)
    try:
        with kernels_on_the_way() as wait_for_kernels:
            trace = _requests(engine, config, clock)
            with clock.step("prepare"):
                problem = build_problem(trace, config)
            with clock.step("open"):
                tracker = io_task(open_tracker, retries=STORAGE_RETRIES)(settings)
                for healed in heal(engine, tracker):
                    say(healed)
            outcome = _run(_Workplace(engine, tracker, settings, clock, wait_for_kernels), problem, config)
    finally:
        engine.dispose()
    return _result(problem, config, outcome, clock)


def _requests(engine: sa.Engine, config: TrainConfig, clock: StepClock) -> Trace:
    require_features(engine, config.feature_columns)
    require_device(config.device)
    _require_weights(config)
    return read_requests(engine, config, clock, config.feature_columns)[0]


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


@dataclass(frozen=True)
class _Workplace:
    """What the steps of a run write to, and what they wait for."""

    engine: sa.Engine
    tracker: Tracker
    settings: Settings
    clock: StepClock
    wait_for_kernels: Callable[[], object]


def _run(place: _Workplace, problem: CacheProblem, config: TrainConfig) -> Outcome:
    tags = {"algorithm": config.algorithm, "decision": config.decision, "data_fingerprint": problem.trace.sha256}
    run_id = place.tracker.start_run(f"{config.decision}-{config.algorithm}", config.model_dump(mode="json"), tags)
    try:
        outcome = _learn(place, run_id, problem, config)
    except BaseException as error:
        with suppress(StorageError):  # where MLflow itself fails, the first failure is the one to tell
            place.tracker.fail(str(error) or type(error).__name__)
        raise
    place.tracker.finish()
    return outcome


def _learn(place: _Workplace, run_id: str, problem: CacheProblem, config: TrainConfig) -> Outcome:
    engine, tracker, clock, home = place.engine, place.tracker, place.clock, place.settings.ers_home
    name = f"{config.decision}-{config.algorithm}-{run_id}"
    with clock.step("train"), progress("train", "decisions") as on_progress:
        learned = io_task(learn)(problem, config, tracker, on_progress, say, home / "checkpoints")
    trained, curves = learned.trained, learned.curves
    config = config.model_copy(update={"seed": learned.run.seed})
    with clock.step("evaluate"):
        place.wait_for_kernels()
        evaluation = io_task(judge)(problem, trained, config, tracker)
        scores = evaluation_dict(evaluation)
    with clock.step("export"):
        bundle = io_task(export)(problem, trained, evaluation, config, home / "bundles" / name)
    with clock.step("report"):
        report = io_task(write_report)(home / "reports" / name, config.algorithm, scores, curves)
        tracker.log_artifacts(report, "report")
    with clock.step("register"):
        row = model_row(problem, trained, evaluation, config, curves, engine.dialect.name)
        model = io_task(register, retries=STORAGE_RETRIES)(engine, tracker, run_id, bundle, row)
        remove_checkpoints(learned.checkpoints)
    return Outcome(run_id, tracker.shown_uri, model, bundle, report, scores, learned.seeds)


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
        "cache": {problem.served_capacity.unit: problem.served_capacity.limit},
        "key_sample": config.key_sample,
        **outcome.evaluation,
        "seeds": outcome.seeds,
        "seconds": clock.seconds,
    }


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text: the table of scores, the verdict, and the paths to look at."""
    return "\n".join(
        [_heading(result), "", *_table(result), "", *_verdict(result), *_seeds(result), "", *_paths(result)]
    )


def _heading(result: dict[str, Any]) -> str:
    data, (unit, limit) = result["data"], next(iter(result["cache"].items()))
    held_out = data["requests"] - data["training_requests"]
    return (
        f"Scores on the last {held_out:,} of {data['requests']:,} requests ({data['distinct_keys']:,} distinct keys), "
        f"cache of {limit:,} {unit}{_sample(result)}:"
    )


def _sample(result: dict[str, Any]) -> str:
    return "" if result["key_sample"] == 1 else f", scaled down to {result['key_sample']:g} of the keys"


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


def _seeds(result: dict[str, Any]) -> list[str]:
    seeds = result["seeds"]
    if seeds is None:
        return []
    each = ", ".join(f"{run['seed']}: {run['test']:.4f}" for run in seeds["runs"])
    mean, sd = seeds["test"]["mean"], seeds["test"]["sd"]
    why = "the first" if seeds["validation"]["mean"] is None else "the best in validation"
    return [f"Seeds: {mean:.4f} +- {sd:.4f} ({each}); kept is {seeds['kept']}, {why}."]


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
