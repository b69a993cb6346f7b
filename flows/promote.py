"""Flow `promote`: a version goes into Production when it passes the gate; the history says why it did or did not."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.engine.kernels import say_if_compiling
from flows.engine.run_page import publish
from flows.engine.runtime import STORAGE_RETRIES, config_flow, io_task, progress
from flows.shared.policies import read_judged
from flows.shared.registry import Registry, open_registry, reconciled
from flows.shared.requests import REPORTS, StepClock
from learning.bundle.load import LoadedBundle
from learning.describe import evaluation_dict
from learning.promotion.gate import Check, Verdict
from learning.promotion.problem import judged_span
from schemas.errors import BundleError, GateError, TraceError, UnfitError
from schemas.options.promote import PromoteConfig
from tasks.registry.bundles import fetch_bundle
from tasks.registry.champion import Move, champion_of, move_champion
from tasks.registry.choose import choose_version
from tasks.registry.refusal import record_verdict, refuse
from tasks.registry.sql_side import PROMOTED, Version, read_versions
from tasks.reports.scores_text import check_lines
from tasks.reports.write import write_report
from tasks.train.evaluate import Judgement, judge_challenger

ARTIFACT_KEY = "promotion"


@config_flow(PromoteConfig)
def promote(config: PromoteConfig) -> dict[str, Any]:
    """Put a version into Production when it is better than the champion on the newest requests."""
    clock = StepClock()
    with open_registry() as registry:
        with clock.step("reconcile"):
            reconciled(registry)
        version = choose_version(registry.engine, config.decision, config.version)
        champion = champion_of(read_versions(registry.engine, version.name))
        candidate = _Candidate(registry, version, champion, config)
        if champion == version:
            return candidate.result(is_new=False)
        gate = _forced(candidate) if config.force else _passed(candidate, clock)
        with clock.step("promote"):
            bundle = candidate.fetch(version)
            former = champion.version if champion else None
            move = Move(version.name, version.version, former, PROMOTED, gate.reason, evidence=gate.evidence)
            io_task(move_champion)(registry.engine, registry.tracker, move)
    told = {"bundle": str(bundle.folder), "reason": gate.reason, "seconds": clock.seconds}
    return candidate.result(is_new=True) | dict(gate.evidence) | told


@dataclass(frozen=True)
class _Candidate:
    """A version that is to become the champion, the one that is now, and what was asked for."""

    registry: Registry
    version: Version
    champion: Version | None
    config: PromoteConfig

    def fetch(self, version: Version) -> LoadedBundle:
        """Return the checked bundle of a version."""
        fetched: LoadedBundle = io_task(fetch_bundle, retries=STORAGE_RETRIES)(
            self.registry.tracker, version, self.registry.home
        )
        return fetched

    def result(self, is_new: bool) -> dict[str, Any]:
        """Return what the flow says of it."""
        former = self.champion.version if self.champion else None
        return {"name": self.version.name, "version": self.version.version, "former": former, "is_new": is_new}


@dataclass(frozen=True)
class _Gate:
    """Why a version may go into Production, and what shows it, as JSON."""

    reason: str
    evidence: Mapping[str, Any]


def _forced(candidate: _Candidate) -> _Gate:
    assert candidate.config.reason is not None
    return _Gate(candidate.config.reason, {"forced": True})


def _passed(candidate: _Candidate, clock: StepClock) -> _Gate:
    """Judge the candidate; GateError when it does not pass, which the history then says."""
    judgement = _judge(candidate, clock)
    if isinstance(judgement, str):
        raise _refusal(candidate, {"gate": Verdict((Check("judged", False, judgement),)).as_dict()})
    evidence = judgement.as_dict() | {"report": str(_report(candidate, judgement))}
    _publish(candidate, evidence)
    if not judgement.verdict.passed:
        raise _refusal(candidate, evidence)
    io_task(record_verdict)(candidate.registry.tracker, candidate.version, "passed")
    return _Gate(candidate.config.reason or f"passed the gate: {judgement.verdict.checks[0].detail}", evidence)


def _judge(candidate: _Candidate, clock: StepClock) -> Judgement | str:
    """Return what the gate says, or why it cannot judge."""
    registry, config = candidate.registry, candidate.config
    try:
        challenger = candidate.fetch(candidate.version)
        champion = candidate.fetch(candidate.champion) if candidate.champion else None
        bundles = [bundle.metadata for bundle in (challenger, champion) if bundle]
        in_bytes = challenger.metadata.capacity.unit == "bytes"
        requests = read_judged(registry.engine, registry.settings, config, bundles, clock, in_bytes)
    except (BundleError, UnfitError) as error:
        return str(error)
    try:
        span = judged_span(requests.trace, bundles, config.min_judged, config.warm_up)
    except TraceError as error:
        return str(error)
    say_if_compiling()
    with clock.step("judge"), progress("judge", "policies") as on_progress:
        found: Judgement = io_task(judge_challenger, name="judge")(
            challenger, champion, requests.trace, span, config, on_progress
        )
    return found


def _refusal(candidate: _Candidate, evidence: Mapping[str, Any]) -> GateError:
    """Note in both stores that the gate said no; return the error that says so."""
    reasons = "; ".join(evidence["gate"]["reasons"])
    registry, version = candidate.registry, candidate.version
    io_task(refuse, retries=STORAGE_RETRIES)(registry.engine, version, reasons, dict(evidence))
    io_task(record_verdict)(registry.tracker, version, f"refused: {reasons}")
    champion = f", version {candidate.champion.version} stays" if candidate.champion else ""
    return GateError(
        f"{version.title} does not pass the gate{champion}: {reasons}", candidate.result(is_new=False) | dict(evidence)
    )


def _report(candidate: _Candidate, judgement: Judgement) -> Path:
    version, evaluation = candidate.version, judgement.duel.evaluation
    folder = candidate.registry.home / REPORTS / f"promote-{version.decision}-{version.version}"
    written: Path = io_task(write_report, name="report")(
        folder, version.algorithm, evaluation_dict(evaluation), evaluation.timeline, {}
    )
    return written


def _publish(candidate: _Candidate, evidence: Mapping[str, Any]) -> None:
    rows = [
        f"| {c['name']} | {'yes' if c['passed'] else '**no**'} | {c['detail']} |" for c in evidence["gate"]["checks"]
    ]
    table = "\n".join(["| check | | |", "|---|---|---|", *rows])
    description = f"What the gate says of {candidate.version.title}"
    publish(ARTIFACT_KEY, f"# {description}\n\n{table}\n", description)


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text: what the gate says, and what is in Production now."""
    name, version, former = result["name"], result["version"], result["former"]
    lines = check_lines(result["gate"]["checks"]) if "gate" in result else []
    before = "" if former is None else f", before it was version {former}"
    if result["is_new"]:
        lines.append(f"{name}: version {version} is in Production now{before}")
        lines.append(f"why     {result['reason']}")
    elif former == version:
        lines.append(f"{name}: version {version} is in Production already: nothing to do")
    lines += [f"{label:<8}{result[label]}" for label in ("bundle", "report") if label in result]
    return "\n".join(lines)
