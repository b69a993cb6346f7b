"""Flow `rollback`: the version that was in Production before is there again."""

from typing import Any

from flows.engine.runtime import config_flow, io_task
from flows.shared.registry import open_registry, reconciled
from schemas.options.promote import RollbackConfig
from tasks.registry.rollback import roll_back


@config_flow(RollbackConfig)
def rollback(config: RollbackConfig) -> dict[str, Any]:
    """Put the version back into Production that was there before."""
    with open_registry() as registry:
        place = registry.engine, registry.tracker, registry.home
        done = io_task(roll_back)(*place, config.decision, config.reason, lambda: reconciled(registry))
    return {
        "name": done.name,
        "version": done.version,
        "former": done.former,
        "bundle": str(done.bundle),
        "reason": config.reason,
    }


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text."""
    former = "nothing" if result["former"] is None else f"version {result['former']}"
    moved = f"{result['name']}: version {result['version']} is in Production again, before it was {former}"
    return f"{moved}\nbundle  {result['bundle']}"
