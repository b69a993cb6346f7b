"""Command `history`: the trail of the registry. No flow: it orchestrates nothing."""

from datetime import datetime
from typing import Any

from infra.database.connection import open_database
from infra.settings import load_settings
from schemas.options.promote import HistoryConfig
from tasks.registry.history import trail
from tasks.registry.mlflow_side import model_name
from tasks.registry.sql_side import INTENDED, MOVING

INTENTS = (INTENDED, MOVING)
HEADINGS = ("when (UTC)", "model", "version", "event", "stage", "by", "why")


def history(config: HistoryConfig) -> dict[str, Any]:
    """Return the newest events, oldest first, as JSON."""
    engine = open_database(load_settings())
    try:
        name = model_name(config.decision) if config.decision else None
        return {"events": trail(engine, name, config.version, config.limit)}
    finally:
        engine.dispose()


def summary(result: dict[str, Any]) -> str:
    """Return the result of the command as text: a line an event, without intents that something came of."""
    newest = {event["run_id"]: event for event in result["events"]}
    told = [event for event in result["events"] if event["event"] not in INTENTS or event is newest[event["run_id"]]]
    if not told:
        return "nothing was registered yet"
    lines = [HEADINGS, *map(_cells, told)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cells(event: dict[str, Any]) -> tuple[str, ...]:
    stages = [stage for stage in (event["from_stage"], event["to_stage"]) if stage]
    return (
        f"{datetime.fromisoformat(event['at']):%Y-%m-%d %H:%M:%S}",
        event["name"],
        str(event["version"] or ""),
        event["event"],
        " -> ".join(stages),
        event["actor"] or "",
        " ".join((event["reason"] or "").split()),
    )
