"""Flow `ingest`: a file of requests into `cache_metrics`."""

from typing import Any

from flows.engine.runtime import config_flow
from flows.shared.recording import record, summary
from schemas.options.train import IngestConfig
from tasks.ingest.record import ingest_file

__all__ = ["ingest", "summary"]


@config_flow(IngestConfig)
def ingest(config: IngestConfig) -> dict[str, Any]:
    """Record the requests of a file; the same file twice adds nothing."""
    return record(ingest_file, config, "ingest")
