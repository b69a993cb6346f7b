"""Flow `train`: from recorded requests to a registered policy that was judged on requests it had not seen."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from flows.engine import run_page
from flows.engine.kernels import kernels_on_the_way
from flows.engine.runtime import STORAGE_RETRIES, config_flow, io_task, progress, say
from flows.shared.policies import open_store, tracked
from flows.shared.requests import REPORTS, Requests, StepClock, read_requests
from flows.shared.train_summary import page as page  # the result of this flow as Markdown
from flows.shared.train_summary import shown_problem
from flows.shared.train_summary import summary as summary  # the result of this flow as text
from infra.database.connection import database_kind, open_database
from infra.settings import Settings, load_settings
from learning.bundle.load import load_bundle
from learning.describe import evaluation_dict
from learning.problem import CacheProblem, build_problem
from learning.training.train import TrainedPolicy, require_device
from schemas.errors import ConfigError
from schemas.names import nearest
from schemas.options.train import TrainConfig
from tasks.extract.feature_columns import FeaturePlan, named_columns
from tasks.extract.read import require_features
from tasks.registry.bundles import BUNDLES, run_folder
from tasks.registry.reconcile import heal
from tasks.registry.register import RegisteredModel, register
from tasks.reports.write import write_report
from tasks.steps import step_done
from tasks.tracking.run_info import log_data, log_report, run_tags
from tasks.tracking.tracker import Tracker
from tasks.train.checkpoints import remove_checkpoints
from tasks.train.train import export, judge, learn, model_row
from tasks.validate.mlflow_log import log_validation

WEIGHABLE_COLUMNS = ("load_time_ms", "size_bytes")  # beside the chosen feature columns


@dataclass(frozen=True)
class Outcome:
    """What a run left behind: the MLflow run, the registered version, the bundle and the report, and the scores.

    With several seeds also how they compare, see `learning.training.seeds.seeds_summary`, and with a staleness budget
    how each endpoint kept to it, see `learning.evaluation.hybrid`.
    """

    run_id: str
    tracking_uri: str
    model: RegisteredModel
    bundle: Path
    report: Path
    evaluation: dict[str, Any]
    seeds: dict[str, Any] | None
    staleness: dict[str, Any] | None


@config_flow(TrainConfig)
def train(config: TrainConfig) -> dict[str, Any]:
    """Learn what the cache should keep, judge it on later requests, export it and register it."""
    settings, clock = load_settings(), StepClock()
    engine = open_database(settings)
    try:
        with kernels_on_the_way() as wait_for_kernels:
            requests = training_requests(engine, settings, config, clock)
            with clock.step("prepare"):
                problem = build_problem(requests.trace, config)
            with clock.step("open"):
                tracker = open_store(settings)
                for healed in heal(engine, tracker, settings.ers_home):
                    say(healed)
            outcome = _run(_Workplace(engine, tracker, settings, clock, wait_for_kernels), requests, problem, config)
    finally:
        engine.dispose()
    return _result(requests, problem, config, outcome, clock)


def training_requests(engine: sa.Engine, settings: Settings, config: TrainConfig, clock: StepClock) -> Requests:
    """Return the requests that `config` trains on, its options checked against the table; see `read_requests`."""
    plan = require_features(engine, config.table, config.feature_columns)
    require_device(config.device)
    _require_weights(config, plan)
    columns = named_columns(plan, config.feature_columns, tuple(config.cache_weights))
    return read_requests(engine, settings, config, clock, columns, config.training_requests, config.decision)


def _require_weights(config: TrainConfig, plan: FeaturePlan) -> None:
    """Raise ConfigError unless `cache_weights` are numbers >= 0 of columns that are read, one of them above 0."""
    known = [*WEIGHABLE_COLUMNS, *(name for name in plan.read if name not in plan.texts)]
    for name, weight in config.cache_weights.items():
        if name in plan.texts:
            raise ConfigError(f"cache_weights: {name} holds text; only numbers weigh hits")
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


def _run(place: _Workplace, requests: Requests, problem: CacheProblem, config: TrainConfig) -> Outcome:
    tracker = place.tracker
    tags = {
        "algorithm": config.algorithm,
        "decision": config.decision,
        "data_fingerprint": problem.trace.sha256,
        **run_tags("python -m flows train"),
    }
    params = config.model_dump(mode="json")
    with tracked(tracker, f"{config.decision}-{config.algorithm}", params, tags) as run_id:
        log_data(tracker, problem.trace, problem.training, *requests.origin(place.engine, config.source))
        log_validation(tracker, requests.validation.report, requests.validation.docs)
        outcome = _learn(place, run_id, requests, problem, config)
    step_done("run finished")
    return outcome


def _learn(place: _Workplace, run_id: str, requests: Requests, problem: CacheProblem, config: TrainConfig) -> Outcome:
    profile = requests.profile
    engine, tracker, clock, home = place.engine, place.tracker, place.clock, place.settings.ers_home
    name = run_folder(config.decision, config.algorithm, run_id)
    with clock.step("train"), progress("train", "decisions") as on_progress:
        learned = io_task(learn, name="train")(problem, config, tracker, on_progress, say, home / "checkpoints")
    trained, curves = learned.trained, learned.curves
    tracker.params(_in_effect(problem, trained, config))
    config = config.model_copy(update={"seed": learned.run.seed})
    with clock.step("evaluate"), progress("evaluate", "policies") as on_progress:
        place.wait_for_kernels()
        judged = io_task(judge, name="evaluate")(problem, trained, config, tracker, on_progress)
        evaluation = judged.evaluation
        scores = evaluation_dict(evaluation)
    with clock.step("export"):
        bundle = io_task(export)(problem, trained, judged, config, profile, home / BUNDLES / name)
    with clock.step("report"):
        report = io_task(write_report, name="report")(
            home / REPORTS / name, config.algorithm, scores, evaluation.timeline, curves
        )
        log_report(tracker, report, load_bundle(bundle).metadata, run_page.address())
    with clock.step("register"):
        row = model_row(problem, trained, judged, config, curves, profile, database_kind(engine), requests.watermark)
        model = io_task(register, retries=STORAGE_RETRIES)(engine, tracker, run_id, bundle, row)
        remove_checkpoints(learned.checkpoints)
        step_done("checkpoints removed")
    staleness = judged.hybrid.as_dict() if judged.hybrid else None
    return Outcome(run_id, tracker.shown_uri, model, bundle, report, scores, learned.seeds, staleness)


def _in_effect(problem: CacheProblem, trained: TrainedPolicy, config: TrainConfig) -> dict[str, object]:
    """Return what the options left open: the capacity, and the settings of the algorithm."""
    given = config.model_dump(exclude_none=True)
    return {
        "capacity": f"{problem.served_capacity.limit} {problem.served_capacity.unit}",
        **{name: value for name, value in trained.hyperparameters.items() if name not in given},
    }


def _result(
    requests: Requests, problem: CacheProblem, config: TrainConfig, outcome: Outcome, clock: StepClock
) -> dict[str, Any]:
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
            "table": requests.query.table,
            "watermark": str(requests.watermark),
        },
        "validation": requests.validation.as_dict(),
        **shown_problem(problem),
        "cache_weights": config.cache_weights,
        "staleness": outcome.staleness,
        "key_sample": config.key_sample,
        **outcome.evaluation,
        "seeds": outcome.seeds,
        "seconds": clock.seconds,
    }
