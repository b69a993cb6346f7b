"""The outcome of a validation in MLflow: metrics to plot over the runs, and the data docs among the artifacts."""

import re
from pathlib import Path

from tasks.tracking.tracker import Tracker
from tasks.validate.validate import ValidationReport

ARTIFACT = "validation"  # folder among the artifacts of a run, and section of its metrics
REFUSED_IN_NAMES = re.compile(r"[^\w\- ]")  # by MLflow, slashes and dots where they are no plain path
MAX_NAME_CHARS = 200


def log_validation(tracker: Tracker, report: ValidationReport, docs: Path) -> None:
    """Log how many rows were checked and failed, the warnings, and the PSI of each feature; copy the data docs.

    Raises:
        StorageError: MLflow cannot be written.
    """
    metrics = {
        f"{ARTIFACT}/checked_rows": report.checked,
        f"{ARTIFACT}/failed_rows": report.invalid.size,
        f"{ARTIFACT}/warnings": len(report.warnings),
        **{
            f"{ARTIFACT}/psi.{REFUSED_IN_NAMES.sub('_', name)[:MAX_NAME_CHARS]}": value
            for name, value in report.psi.items()
        },
    }
    for name, value in metrics.items():
        tracker.metric(name, value, 0)
    tracker.log_artifacts(docs, ARTIFACT)
