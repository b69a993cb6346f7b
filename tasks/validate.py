"""Rejecting rows that would poison training: which rows break the suite of `schemas.expectations`, and why."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from schemas.errors import TraceError
from schemas.expectations import OBJECT_COLUMN, training_rows
from tasks.feature_columns import is_text
from tasks.traces import object_codes

SHOWN_ROWS = 5


@dataclass(frozen=True)
class Check:
    """The outcome of one expectation.

    Attributes:
        name: what was expected.
        passed: whether it held.
        failing_rows: rows that break it; 0 where it is about the table as a whole.
        first_failing: (id, value) of the first rows that break it, at most five.
        observed: what the table as a whole has, where the expectation is about that.
    """

    name: str
    passed: bool
    failing_rows: int = 0
    first_failing: tuple[tuple[int, object], ...] = ()
    observed: object = None

    def __str__(self) -> str:
        if self.first_failing:
            shown = ", ".join(f"id {row} has {value}" for row, value in self.first_failing)
            return f"{self.name}: not so in {self.failing_rows:,} row{'s' * (self.failing_rows != 1)} ({shown})"
        return f"{self.name}: found {self.observed}"


@dataclass(frozen=True)
class ValidationReport:
    """The outcome of all expectations, in the order of the suite."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every expectation held."""
        return all(check.passed for check in self.checks)

    def require(self) -> None:
        """Do nothing when all expectations held.

        Raises:
            TraceError: one line that names each expectation that did not, how many rows break it, and the first ids.
        """
        failed = [str(check) for check in self.checks if not check.passed]
        if failed:
            raise TraceError(
                f"these requests cannot be trained on: {'; '.join(failed)}; "
                "mend or leave out these rows of cache_metrics, "
                "or choose others with source, since, until and key_sample"
            )


def validate_rows(rows: pd.DataFrame) -> ValidationReport:
    """Return how rows of `read_rows` meet the expectations. Nothing is written, shown or sent.

    Args:
        rows: in the order and with the columns and `attrs` that `read_rows` gives.
    """
    features: tuple[str, ...] = rows.attrs.get("feature_columns", ())
    expectations = training_rows(tuple(name for name in features if not is_text(rows[name])))
    results = _run(rows.assign(**{OBJECT_COLUMN: object_codes(rows)}), list(expectations.values()))
    named = zip(expectations, results, strict=True)
    return ValidationReport(tuple(_check(name, result, rows) for name, result in named))


def _run(rows: pd.DataFrame, expectations: list[Any]) -> list[Any]:
    """The results of Great Expectations, in the order of `expectations`."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": rows})
    # Without unexpected_index_column_names, which makes a dict for each row that fails: a minute for a million.
    shown = {"result_format": "SUMMARY", "partial_unexpected_count": SHOWN_ROWS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, about how Great Expectations uses it
        return [batch.validate(expectation, result_format=shown) for expectation in expectations]


def _check(name: str, result: Any, rows: pd.DataFrame) -> Check:
    if result.exception_info.get("raised_exception"):
        raise RuntimeError(f"expectation {name!r} could not be run: {result.exception_info['exception_message']}")
    found: Mapping[str, Any] = result.result
    column = result.expectation_config.kwargs.get("column")
    labels = list(found.get("partial_unexpected_index_list") or ())[:SHOWN_ROWS]
    failing = rows.loc[labels, ["id", column]] if labels else rows.iloc[:0, :2]
    return Check(
        name=name,
        passed=bool(result.success),
        failing_rows=int(found.get("unexpected_count") or 0),
        first_failing=tuple((int(row_id), _plain(value)) for row_id, value in failing.itertuples(index=False)),
        observed=_plain(found.get("observed_value")),
    )


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value
