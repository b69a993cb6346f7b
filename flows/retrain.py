"""Flow `retrain`: trains when there are enough new requests and a reason to; the gate decides what comes of it."""

from dataclasses import dataclass
from typing import Any

from flows.engine.runtime import config_flow, say
from flows.promote import promote
from flows.promote import summary as promotion_text
from flows.shared.drift import check_drift, new_requests
from flows.shared.registry import Registry, open_registry
from flows.shared.requests import NO_SOURCE, StepClock
from flows.train import train
from schemas.errors import GateError
from schemas.options.gate import GateConfig
from schemas.options.monitor import RetrainConfig
from schemas.options.train import TableConfig, TrainingConfig
from schemas.tables import utc_now
from tasks.drift.detect import Drift
from tasks.drift.report import drift_lines, drift_markdown, drift_verdict
from tasks.registry.mlflow_side import model_name
from tasks.registry.reconcile import heal
from tasks.registry.trained_versions import TrainedVersion, in_production, newest_of, trained_versions
from tasks.train.retrain_rules import Share, plain_reason, share_to_read, too_few


@config_flow(RetrainConfig)
def retrain(config: RetrainConfig) -> dict[str, Any]:
    """Train and promote when it is due; say why, or why not."""
    clock = StepClock()
    with open_registry() as registry:
        plan = _plan(registry, config, clock)
    say(plan.why)
    trained = train(**_training(config, plan)) if plan.share else None
    version = trained["model"]["version"] if trained else plan.left
    promotion = _promoted(config, plan, version) if version else None
    return {
        "decision": config.decision,
        "table": config.table,
        **plan.as_dict(),
        "trained": _told(trained) if trained else None,
        "version": version,
        "promoted": bool(promotion and promotion["is_new"]),
        "promotion": promotion,
        "seconds": clock.seconds,
    }


@dataclass(frozen=True)
class _Plan:
    """What is to be done, and why.

    Attributes:
        why: in words, or why nothing is.
        champion: in Production now.
        newest: trained last on this table.
        new_requests: since then.
        drift: where it was looked for.
        left: version that a retrain left behind before it was judged; it is judged now.
        share: what to train on; None = nothing is trained.
    """

    why: str
    champion: TrainedVersion | None
    newest: TrainedVersion | None
    new_requests: int
    drift: Drift | None = None
    left: int | None = None
    share: Share | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        mark = self.newest.watermark if self.newest else None
        return {
            "why": self.why,
            "champion": self.champion.version if self.champion else None,
            "since": str(mark) if mark else None,
            "new_requests": self.new_requests,
            "drift": self.drift.as_dict() if self.drift else None,
        }


def _plan(registry: Registry, config: RetrainConfig, clock: StepClock) -> _Plan:
    with clock.step("heal"):
        for sentence in heal(registry.engine, registry.tracker, registry.home):
            say(sentence)
    versions = trained_versions(registry.engine, config.decision)
    champion, newest = in_production(versions), newest_of(versions, config.table)
    new = new_requests(registry, config, newest)
    if newest and newest.awaits_judgement:
        why = f"{newest.title} was trained and not judged yet"
        return _Plan(why, champion, newest, new, left=newest.version)
    if why_not := too_few(config, new, newest):
        return _Plan(f"nothing to do: {why_not}", champion, newest, new)
    reason, drift = plain_reason(config, champion, utc_now()), None
    if not reason:
        drift = check_drift(registry, config, champion, clock)
    why = drift_verdict(drift.as_dict()) if drift else reason
    if drift and not drift.drifted:
        return _Plan(f"nothing to do: {why}", champion, newest, new, drift)
    share = share_to_read(config, new, new_requests(registry, config, None))
    return _Plan(why, champion, newest, new, drift, share=share)


def _training(config: RetrainConfig, plan: _Plan) -> dict[str, Any]:
    """Return the options of `train`: without a capacity that of the champion, which is what is served."""
    assert plan.share is not None
    options = {name: getattr(config, name) for name in (*TrainingConfig.model_fields, *TableConfig.model_fields)}
    capacities = ("cache_size", "cache_bytes", "cache_fraction")
    if plan.champion and all(options[name] is None for name in capacities):
        options |= {"cache_size": plan.champion.cache_size, "cache_bytes": plan.champion.cache_bytes}
    span = {"max_queries": plan.share.requests, "test_fraction": plan.share.test_fraction}
    return {**options, **span, "source": NO_SOURCE, "challenger": True}


def _promoted(config: RetrainConfig, plan: _Plan, version: int) -> dict[str, Any]:
    """Return the result of `promote`; a refusal is a result too: it is what the gate is for."""
    names = (*GateConfig.model_fields, *TableConfig.model_fields, "decision", "seed")
    options = {name: getattr(config, name) for name in names}
    if plan.share:
        options["max_queries"] = plan.share.requests
    try:
        found: dict[str, Any] = promote(**options, source=NO_SOURCE, version=str(version))
    except GateError as error:
        unjudged = {"name": model_name(config.decision), "version": version, "former": None, "is_new": False}
        return {**(error.result or unjudged), "refused": str(error)}
    return found


def _told(trained: dict[str, Any]) -> dict[str, Any]:
    return {name: trained[name] for name in ("run_id", "tracking_uri", "model", "bundle", "report", "data", "cache")}


def page(result: dict[str, Any]) -> str:
    """Return the result of the flow as Markdown: what was done and why, and what the gate says."""
    parts = [f"# {_outcome(result)}", result["why"]]
    if result["drift"]:
        parts.append(drift_markdown(result["drift"]))
    if result["promotion"] and "gate" in result["promotion"]:
        checks = result["promotion"]["gate"]["checks"]
        parts += [f"- {'yes' if check['passed'] else '**no**'}: {check['name']}: {check['detail']}" for check in checks]
    return "\n\n".join(parts)


def _outcome(result: dict[str, Any]) -> str:
    name = model_name(result["decision"])
    if result["version"] is None:
        return f"{name}: nothing was trained"
    verdict = "is in Production now" if result["promoted"] else "was not promoted"
    return f"{name}: version {result['version']} {verdict}"


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text: why it trained or not, and what came of it."""
    lines = [f"why     {result['why']}"]
    if result["drift"]:
        lines += ["", *drift_lines(result["drift"]), ""]
    if result["trained"]:
        data = result["trained"]["data"]
        span = f"{data['training_requests']:,} of the newest {data['requests']:,} requests"
        lines.append(f"trained version {result['version']} on {span}")
    if result["promotion"]:
        lines += [promotion_text(result["promotion"])]
        lines += [f"refused {result['promotion']['refused']}"] if "refused" in result["promotion"] else []
    return "\n".join([_outcome(result), "", *lines])
