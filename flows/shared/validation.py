"""The step between reading rows and using them: validate, quarantine, tell, and leave the outcome where people look."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from flows.engine.run_page import publish
from flows.engine.runtime import STORAGE_RETRIES, io_task, say
from schemas.options.train import ReadConfig
from schemas.tables import cache_metrics_quarantine
from tasks.drift.reference import reference_of
from tasks.validate.data_docs import markdown, write_data_docs
from tasks.validate.quarantine import Quarantined, quarantine
from tasks.validate.validate import ValidationReport, validate_rows

ARTIFACT_KEY = "validation"


@dataclass(frozen=True)
class Validation:
    """A validation, what it put into quarantine, and the folder of its data docs."""

    report: ValidationReport
    quarantined: Quarantined
    docs: Path

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON."""
        return {
            **self.report.as_dict(),
            "quarantined": self.quarantined.rows,
            "newly_quarantined": self.quarantined.new,
            "released": self.quarantined.mended,
            "docs": str(self.docs),
        }


def documented(reports: Path, report: ValidationReport, quarantined: Quarantined) -> Validation:
    """Write the data docs below the folder of all reports."""
    return Validation(report, quarantined, io_task(write_data_docs)(reports, report))


def judged(
    engine: sa.Engine, rows: pd.DataFrame, config: ReadConfig, decision: str | None
) -> tuple[ValidationReport, Quarantined]:
    """Validate rows of `read_rows` and put the invalid ones into quarantine; say what is wrong, to Prefect as well.

    Args:
        engine: the database that the rows are from.
        rows: all that were read.
        config: how many may be invalid, and which values are needed.
        decision: drift is measured from the data of the model for this decision; None = not at all.

    Raises:
        StorageError: the database failed.
    """
    from prefect.runtime import flow_run

    reference = reference_of(engine, decision, config.table) if decision else None
    report = io_task(validate_rows, name="validate")(rows, config, reference)
    put = io_task(quarantine, retries=STORAGE_RETRIES)(engine, rows, report.faults, config.table, flow_run.get_id())
    for line in _told(report, put):
        say(line)
    _publish(report)
    return report, put


def _told(report: ValidationReport, put: Quarantined) -> list[str]:
    lines = []
    if report.invalid.size:
        broken = "; ".join(str(check) for check in report.checks if check.leaves_out and check.failing.size)
        lines.append(
            f"warning: {report.invalid.size:,} of {report.checked:,} rows are invalid and left out: {broken}; "
            f"they are in {cache_metrics_quarantine.name}, {put.new:,} of them newly"
        )
    if put.mended:
        lines.append(f"{put.mended:,} rows that were in {cache_metrics_quarantine.name} are valid now and used again")
    return lines + [f"warning: {text}" for text in report.warnings]


def _publish(report: ValidationReport) -> None:
    publish(ARTIFACT_KEY, markdown(report.as_dict()), "What validation found in the requests that were read")
