"""What the flows that record requests share: the database, progress, and how the result reads."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import sqlalchemy as sa

from flows.engine.runtime import STORAGE_RETRIES, ReportProgress, io_task, progress
from infra.database.connection import open_database
from infra.settings import load_settings
from schemas.options.train import FlowConfig
from tasks.ingest.record import IngestedSource
from tasks.simulate.seed import SeededTables

RecordConfig = TypeVar("RecordConfig", bound=FlowConfig)
Recorded = IngestedSource | SeededTables


def record(
    recorder: Callable[[sa.Engine, RecordConfig, ReportProgress], Recorded], config: RecordConfig, label: str
) -> dict[str, Any]:
    """Run `recorder` on the database of the settings as a task; return what the table holds now, as JSON."""
    engine = open_database(load_settings())
    try:
        with progress(label, "rows") as on_progress:
            recorded = io_task(recorder, retries=STORAGE_RETRIES)(engine, config, on_progress)
    finally:
        engine.dispose()
    return {"database": engine.url.render_as_string(hide_password=True), **asdict(recorded)}


def summary(result: dict[str, Any]) -> str:
    """Return the result of `record` as text."""
    state = f"{result['added_rows']:,} requests added" if result["added_rows"] else "nothing added: it was there"
    lines = [f"{result['name']}: {state}, {result['rows']:,} in {result['database']}"]
    if result["rejected_rows"]:
        lines += [f"  {result['rejected_rows']:,} broken lines left out", *_indented(result["first_rejections"])]
    if result["skipped_rows"]:
        lines.append(f"  {result['skipped_rows']:,} requests left out that no cache may answer")
    if result["left_out_columns"]:
        lines.append(f"  columns that the table lacks, left out: {', '.join(result['left_out_columns'])}")
    return "\n".join(lines)


def _indented(sentences: list[str]) -> list[str]:
    return [f"    {sentence}" for sentence in sentences]
