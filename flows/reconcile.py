"""Flow `reconcile`: the two stores of the registry agree again."""

from dataclasses import asdict
from typing import Any

from flows.engine.runtime import config_flow
from flows.shared.registry import open_registry, reconciled
from schemas.options.promote import ReconcileConfig


@config_flow(ReconcileConfig)
def reconcile(config: ReconcileConfig) -> dict[str, Any]:
    """Make rl_models and MLflow agree after a crash or a change by hand."""
    with open_registry() as registry:
        return asdict(reconciled(registry))


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text; what was healed has been said as it was done."""
    healed, problems = len(result["healed"]), len(result["problems"])
    if not healed and not problems:
        return "rl_models and MLflow agree: nothing to do"
    return f"{healed} things healed, {problems} left for you to see to"
