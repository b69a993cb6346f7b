"""Validation: which rows and which facts about them break the expectations of `schemas.expectations`, and why."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from schemas.errors import UnfitError
from schemas.expectations import DUPLICATE, drift_of, psi_of, row_expectations, trace_expectations
from schemas.options.train import ReadConfig
from schemas.tables import microseconds, utc_now
from schemas.trace import IntArray
from tasks.drift.psi import drift
from tasks.drift.reference import Reference
from tasks.extract.feature_columns import is_text
from tasks.validate.dataset_facts import facts_of, is_duplicate
from tasks.validate.run_expectations import NO_ROWS, Check, run_expectations

JUDGED_COLUMNS = ("timestamp", "cache_name", "cache_key", "size_bytes", "load_time_ms")


@dataclass(frozen=True, eq=False)
class ValidationReport:
    """What came of the expectations.

    Attributes:
        checks: the outcome of each, those about rows first.
        checked: rows that were judged.
        max_invalid_share: share of the rows that may be left out.
        compared_with: the model whose training data drift is measured from, None = none.
        psi: population stability index of each feature against that data.
        results: the same as Great Expectations has it, about rows and about the whole.
    """

    checks: tuple[Check, ...]
    checked: int
    max_invalid_share: float
    compared_with: str | None
    psi: dict[str, float]
    results: tuple[Any, ...]

    @property
    def faults(self) -> dict[str, IntArray]:
        """The ids of the rows that break each expectation for which rows are left out."""
        return {check.name: check.failing for check in self.checks if check.leaves_out}

    @cached_property
    def invalid(self) -> IntArray:
        """The ids of the rows to leave out, rising."""
        return np.unique(np.concatenate([NO_ROWS, *self.faults.values()]))

    @property
    def invalid_share(self) -> float:
        """The share of rows to leave out."""
        return self.invalid.size / max(self.checked, 1)

    @property
    def passed(self) -> bool:
        """Whether the rows that are kept can be used."""
        return not self._failures()

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each warning."""
        drifts = {drift_of(feature) for feature in self.psi}
        return tuple(
            f"{check}, against the data of {self.compared_with}" if check.name in drifts else str(check)
            for check in self.checks
            if check.level == "warning" and not check.passed
        )

    def kept(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the judged rows without those to leave out."""
        if not self.invalid.size:
            return rows
        return rows[~rows["id"].isin(self.invalid)].reset_index(drop=True)

    def require(self, result: dict[str, Any] | None = None) -> None:
        """Do nothing when the rows that are kept can be used.

        Args:
            result: what a flow has to show even when they cannot, as JSON.

        Raises:
            UnfitError: one line that names each expectation that did not hold, how many rows break it, and the first
                ids.
        """
        failures = self._failures()
        if failures:
            raise UnfitError(
                f"these requests cannot be trained on: {'; '.join(failures)}; "
                "mend these rows or leave them out, "
                "or choose others with source, since, until and key_sample",
                result,
            )

    def _failures(self) -> list[str]:
        failures = [str(check) for check in self.checks if check.stops]
        if self.invalid_share > self.max_invalid_share:
            failures += [str(check) for check in self.checks if check.leaves_out and check.failing.size]
            failures.append(
                f"that is {self.invalid.size:,} of {self.checked:,} rows, {self.invalid_share:.2%}, "
                f"more than max_invalid_share {self.max_invalid_share:g}"
            )
        return failures

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON."""
        return {
            "passed": self.passed,
            "checked": self.checked,
            "failed": int(self.invalid.size),
            "max_invalid_share": self.max_invalid_share,
            "warnings": [*self.warnings],
            "compared_with": self.compared_with,
            "psi": self.psi,
            "expectations": [
                {
                    "name": check.name,
                    "level": check.level,
                    "passed": check.passed,
                    "failing_rows": int(check.failing.size) if check.by_row else None,
                    "first_failing_ids": [label for label, _ in check.first_failing],
                    "observed": check.observed,
                }
                for check in self.checks
            ],
        }


def validate_rows(
    rows: pd.DataFrame,
    config: ReadConfig | None = None,
    reference: Reference | None = None,
    now: datetime | None = None,
) -> ValidationReport:
    """Return how rows meet the expectations, and the rows that are kept those of the whole. Nothing is written or said.

    Args:
        rows: in the order and with the columns and `attrs` that `read_rows` gives.
        config: which values are needed, and how many rows may be left out; None = the defaults.
        reference: what drift is measured from; None = nothing.
        now: no row may be later; None = the present moment.
    """
    config = config or ReadConfig()
    frame = _frame(rows)
    numbers = [name for name in rows.attrs.get("feature_columns", ()) if not is_text(rows[name])]
    by_row, rows_result = run_expectations(frame, row_expectations(numbers, microseconds(now or utc_now())), "rows")
    invalid = [check.failing for check in by_row if check.leaves_out]
    kept = rows[~frame.index.isin(np.concatenate(invalid))]
    psi = drift(reference.profile, kept) if reference else {}
    facts = {**facts_of(kept, config.needed_columns), **{psi_of(name): value for name, value in psi.items()}}
    of_all, trace_result = run_expectations(
        pd.DataFrame([facts], dtype=object),  # Python's numbers: the renderer of the page takes no others
        trace_expectations(config.needed_columns, psi),
        "requests",
    )
    return ValidationReport(
        checks=(*by_row, *of_all),
        checked=len(rows),
        max_invalid_share=config.max_invalid_share,
        compared_with=reference.name if reference else None,
        psi=psi,
        results=(rows_result, trace_result),
    )


def _frame(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns that are judged, labelled by id."""
    names = dict.fromkeys((*JUDGED_COLUMNS, *rows.attrs.get("feature_columns", ())))
    columns = {name: _plain(rows[name]) for name in names}
    return pd.DataFrame({**columns, DUPLICATE: is_duplicate(rows)}).set_index(rows["id"].to_numpy())


def _plain(column: pd.Series) -> Any:
    """The values as NumPy has them, missing ones as NaN: those of nullable types take a Python call each."""
    if pd.api.types.is_extension_array_dtype(column.dtype) and not is_text(column):
        return column.to_numpy(np.float64, na_value=np.nan)
    return column.array
