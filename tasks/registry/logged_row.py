"""The row of a version among the artifacts of its run, from which a lost database is restored."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.tables import rl_models
from support.atomic import temporary_directory, write_errors
from tasks.tracking.tracker import Tracker

FOLDER, FILE = "registry", "row.json"


def log_row(tracker: Tracker, run_id: str, row: Mapping[str, Any], parent: Path) -> None:
    """Log a row of `rl_models`, by way of a folder in `parent`; StorageError when that fails."""
    with write_errors(parent), temporary_directory(parent) as work:
        (work / FILE).write_text(json.dumps(row))
        tracker.log_artifacts(work, FOLDER, run_id)


def logged_row(tracker: Tracker, run_id: str, parent: Path) -> dict[str, Any] | None:
    """Return the row that was logged for a run; None where there is none, or none that fits `rl_models`."""
    with write_errors(parent), temporary_directory(parent) as work:
        path = tracker.download(f"{FOLDER}/{FILE}", work, run_id)
        if path is None:
            return None
        try:
            row = json.loads(path.read_bytes())
        except ValueError:
            return None
    if not isinstance(row, dict) or not set(row) <= set(rl_models.columns.keys()) or row.get("mlflow_run_id") != run_id:
        return None
    return row
