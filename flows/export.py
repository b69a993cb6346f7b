"""Flow `export`: the bundle of a policy, checked and whole, in a folder of one's own."""

from typing import Any

from flows.engine.runtime import config_flow, io_task
from flows.shared.policies import choose_policy
from infra.database.connection import open_database
from infra.settings import load_settings
from schemas.options.evaluate import ExportConfig
from tasks.registry.export import export_copy, export_target


@config_flow(ExportConfig)
def export(config: ExportConfig) -> dict[str, Any]:
    """Copy the bundle of a policy to a folder inside that of all exports."""
    settings = load_settings()
    target = export_target(settings.ers_exports, config.into)
    engine = open_database(settings)
    try:
        chosen = choose_policy(engine, settings, config)
    finally:
        engine.dispose()
    is_new = io_task(export_copy)(chosen.bundle, target)
    return {
        "policy": chosen.title,
        "folder": str(target),
        "is_new": is_new,
        "bundle_sha256": chosen.bundle.sha256,
        "decision": chosen.bundle.metadata.decision,
        "algorithm": chosen.bundle.metadata.algorithm,
    }


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text."""
    what = "exported" if result["is_new"] else "it is there already:"
    return f"{result['policy']} ({result['decision']}, {result['algorithm']}): {what} {result['folder']}"
