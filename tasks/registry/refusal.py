"""What the gate said of a version: in the history, and in MLflow beside the version."""

from typing import Any

import sqlalchemy as sa

from tasks.registry import sql_side
from tasks.registry.sql_side import Version
from tasks.tracking.tracker import Tracker

TAG = "gate"
MAX_TAG_CHARS = 4000


def refuse(engine: sa.Engine, version: Version, reason: str, evidence: dict[str, Any]) -> None:
    """Add to the history that a version was not promoted, and why; StorageError when that fails."""
    sql_side.record_event(engine, sql_side.event_of(version, sql_side.REFUSED, reason=reason, evidence=evidence))


def record_verdict(tracker: Tracker, version: Version, verdict: str) -> None:
    """Tag a version in MLflow with what the gate said of it last; StorageError when that fails."""
    with tracker.errors():
        tracker.client.set_model_version_tag(version.name, str(version.version), TAG, verdict[:MAX_TAG_CHARS])
