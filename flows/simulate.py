"""Flow `simulate`: simulated traffic of an energy data API into `cache_metrics`."""

from typing import Any

from flows.recording import record, summary
from flows.runtime import config_flow
from schemas.config import SimulateConfig
from tasks.simulate import record_simulated

__all__ = ["simulate", "summary"]


@config_flow(SimulateConfig)
def simulate(config: SimulateConfig) -> dict[str, Any]:
    """Record simulated requests; the same seed and number twice add nothing."""
    return record(record_simulated, config, "simulate")
