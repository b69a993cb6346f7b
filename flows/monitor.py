"""Flow `monitor`: whether the newest requests have drifted from the data that the champion was made from."""

from pathlib import Path
from typing import Any

from flows.engine.kernels import say_if_compiling
from flows.engine.run_page import plots
from flows.engine.runtime import config_flow, io_task
from flows.shared.drift import check_drift
from flows.shared.registry import open_registry
from flows.shared.requests import REPORTS, StepClock
from schemas.options.monitor import MonitorConfig
from tasks.drift.plot import plot_drift
from tasks.drift.report import drift_lines, drift_markdown
from tasks.registry.mlflow_side import model_name
from tasks.registry.trained_versions import in_production, trained_versions

EVENT = "ers.drift"  # what an automation waits for; the decision is part of its resource


@config_flow(MonitorConfig)
def monitor(config: MonitorConfig) -> dict[str, Any]:
    """Check for drift; tell Prefect of it as an event and as an artifact, and draw it."""
    clock = StepClock()
    with open_registry() as registry:
        champion = in_production(trained_versions(registry.engine, config.decision))
        say_if_compiling()
        found = check_drift(registry, config, champion, clock)
        plot = _plot(registry.home / REPORTS / f"monitor-{config.decision}", found)
    told = found.as_dict()
    if found.drifted:
        _emit(told, config.decision)
    return {"decision": config.decision, **told, "report": plot, "seconds": clock.seconds}


def _plot(folder: Path, found: Any) -> str | None:
    return str(io_task(plot_drift)(folder, found)) if found.families else None


def _emit(told: dict[str, Any], decision: str) -> None:
    from prefect.events import emit_event

    statistics = {name: one for family in told["tested"].values() for name, one in family["statistics"].items()}
    payload = {
        "against": told["against"],
        "drifted": {name: statistics[name] for name in told["drifted_in"]},
    }
    emit_event(EVENT, {"prefect.resource.id": f"ers.cache-policy.{decision}"}, payload=payload)


def page(result: dict[str, Any]) -> str:
    """Return the result of the flow as Markdown: the verdict, what was compared, and the plot."""
    name = model_name(result["decision"])
    return "\n\n".join([f"# Drift of what {name} serves", drift_markdown(result), *plots(result["report"])])


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text: a table of what was compared, and the verdict."""
    lines = drift_lines(result)
    return "\n".join([*lines, *([f"report  {result['report']}"] if result["report"] else [])])
