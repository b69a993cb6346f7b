"""The flows as deployments load them: light to import.

What a flow works with takes seconds to import. A run that is loaded from here is Running before that, and one that is
cancelled stops without it: Prefect loads the flow once more then, to look for hooks.
"""

import importlib
import inspect
from typing import Any

from flows.cli.main import FLOWS
from flows.engine.runtime import config_flow
from schemas.options.train import FlowConfig


def _deployed(name: str) -> Any:
    """Return the flow `name` of `FLOWS`, which imports `flows.<name>` when it runs."""

    def run(config: FlowConfig) -> dict[str, Any]:
        flow = getattr(importlib.import_module(f"flows.{name}"), name)
        result: dict[str, Any] = inspect.unwrap(flow.fn)(config)
        return result

    run.__name__ = name
    run.__doc__ = FLOWS[name].__doc__
    return config_flow(FLOWS[name])(run)


evaluate = _deployed("evaluate")
export = _deployed("export")
ingest = _deployed("ingest")
monitor = _deployed("monitor")
promote = _deployed("promote")
reconcile = _deployed("reconcile")
retrain = _deployed("retrain")
simulate = _deployed("simulate")
sweep = _deployed("sweep")
train = _deployed("train")
