"""Flow `evaluate`: a finished policy on other requests, or at another size, against the same baselines and bounds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.engine.kernels import say_if_compiling
from flows.engine.runtime import config_flow, io_task, progress
from flows.shared.policies import Chosen, choose_policy, open_store, read_judged, tracked
from flows.shared.requests import REPORTS, Requests, StepClock
from flows.shared.train_summary import cache_words, scores_page, shown_problem, table_lines, where_to_look
from infra.database.connection import open_database
from infra.settings import load_settings
from learning.bundle.compiled import compiled_policy
from learning.describe import evaluation_dict
from learning.problem import CacheProblem, asked_capacity
from learning.promotion.problem import JudgedSpan, bundle_problem, judged_span
from schemas.options.evaluate import EvaluateConfig
from tasks.reports.scores_text import verdict
from tasks.reports.write import write_report
from tasks.tracking.run_info import run_tags
from tasks.tracking.tracker import Tracker
from tasks.train.evaluate import judge_bundle
from tasks.validate.mlflow_log import log_validation


@config_flow(EvaluateConfig)
def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Judge a finished policy on recorded requests that it was not trained on."""
    settings, clock = load_settings(), StepClock()
    engine = open_database(settings)
    try:
        with clock.step("open"):
            tracker = open_store(settings)
            chosen = choose_policy(engine, settings, config, tracker)
        bundle = chosen.bundle.metadata
        in_bytes = bundle.capacity.unit == "bytes" if _as_trained(config) else config.cache_bytes is not None
        requests = read_judged(engine, settings, config, [bundle], clock, in_bytes)
    finally:
        engine.dispose()
    with clock.step("prepare"):
        case = _case(chosen, requests, config)
    judged = _judge(tracker, case, config, settings.ers_home / REPORTS, clock)
    return {**_result(case, config), **judged, "seconds": clock.seconds}


@dataclass(frozen=True)
class _Case:
    """What is judged: a policy, on some of the requests, as a problem."""

    chosen: Chosen
    requests: Requests
    span: JudgedSpan
    problem: CacheProblem


def _as_trained(config: EvaluateConfig) -> bool:
    return config.cache_size is None and config.cache_bytes is None and config.cache_fraction is None


def _case(chosen: Chosen, requests: Requests, config: EvaluateConfig) -> _Case:
    trace, bundle = requests.trace, chosen.bundle.metadata
    span = judged_span(trace, [bundle], config.min_judged, config.warm_up)
    capacity = None
    if not _as_trained(config):
        sizes = (config.cache_size, config.cache_bytes, config.cache_fraction)
        capacity = asked_capacity(trace, *sizes, config.key_sample)
    return _Case(chosen, requests, span, bundle_problem(bundle, trace, span.start, capacity, config.key_sample))


def _judge(tracker: Tracker, case: _Case, config: EvaluateConfig, reports: Path, clock: StepClock) -> dict[str, Any]:
    """Judge, leave the scores in MLflow and in a report, and return what there is to tell of them."""
    name, bundle = f"evaluate-{case.chosen.label}", case.chosen.bundle
    with tracked(tracker, name, config.model_dump(mode="json"), _tags(case)) as run_id:
        log_validation(tracker, case.requests.validation.report, case.requests.validation.docs)
        say_if_compiling()
        with clock.step("evaluate"), progress("evaluate", "policies") as on_progress:
            policy = compiled_policy(bundle)
            evaluation = io_task(judge_bundle, name="evaluate")(case.problem, policy, config.seed, tracker, on_progress)
            scores = evaluation_dict(evaluation)
        with clock.step("report"):
            folder = reports / f"{name}-{run_id}"
            report = io_task(write_report, name="report")(
                folder, bundle.metadata.algorithm, scores, evaluation.timeline, {}
            )
            tracker.log_artifacts(report)
    return {"run_id": run_id, "tracking_uri": tracker.shown_uri, "report": str(report), **scores}


def _tags(case: _Case) -> dict[str, str]:
    bundle, version = case.chosen.bundle, case.chosen.version
    tags = {
        "algorithm": bundle.metadata.algorithm,
        "decision": bundle.metadata.decision,
        "data_fingerprint": case.requests.trace.sha256,
        "bundle_sha256": bundle.sha256,
        **run_tags("python -m flows evaluate"),
    }
    return tags | ({"model": version.name, "version": str(version.version)} if version else {})


def _result(case: _Case, config: EvaluateConfig) -> dict[str, Any]:
    bundle, version, trace = case.chosen.bundle, case.chosen.version, case.requests.trace
    model = {"name": version.name, "version": version.version, "stage": version.stage} if version else None
    return {
        "policy": case.chosen.title,
        "algorithm": bundle.metadata.algorithm,
        "model": model,
        "bundle": str(bundle.folder),
        "bundle_sha256": bundle.sha256,
        "data": {
            "requests": len(trace),
            "distinct_keys": trace.distinct_keys,
            "fingerprint": trace.sha256,
            "table": case.requests.query.table,
            "watermark": str(case.requests.watermark),
        },
        "judged": case.span.as_dict(),
        "validation": case.requests.validation.as_dict(),
        **shown_problem(case.problem),
        "cache_weights": bundle.metadata.objective,
        "key_sample": config.key_sample,
    }


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text: the table of scores, the verdict, and the paths to look at."""
    return "\n".join([_heading(result), "", *table_lines(result), "", *verdict(result), "", *_paths(result)])


def _paths(result: dict[str, Any]) -> list[str]:
    return [
        f"bundle  {result['bundle']}",
        f"report  {result['report']}",
        f"look    {where_to_look(result['tracking_uri'])}, run {result['run_id']}",
    ]


def page(result: dict[str, Any]) -> str:
    """Return the result of the flow as Markdown."""
    return scores_page(result, _heading(result), [], _paths(result))


def _heading(result: dict[str, Any]) -> str:
    data, judged = result["data"], result["judged"]
    when = "all later" if judged["later_than_training"] else "not all of them later"
    return (
        f"Scores of {result['policy']} on the last {judged['requests']:,} of {data['requests']:,} requests "
        f"({data['distinct_keys']:,} distinct keys), {when} than its training, {cache_words(result)}:"
    )
