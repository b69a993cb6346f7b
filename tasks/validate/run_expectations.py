"""Running expectations with Great Expectations: a frame in, an outcome for each expectation out. Nothing is written."""

import logging
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from schemas.expectations import Level
from schemas.trace import IntArray

SHOWN_ROWS = 5
NO_ROWS: IntArray = np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Check:
    """The outcome of one expectation.

    Attributes:
        name: what was expected.
        level: "error" or "warning".
        passed: whether it held.
        failing: labels of the rows that break it; none where it is about the whole.
        first_failing: (label, value) of the first of them, at most five.
        observed: what the whole has, where the expectation is about that.
        by_row: whether it judges each row.
    """

    name: str
    level: Level
    passed: bool
    failing: IntArray = field(default_factory=lambda: NO_ROWS)
    first_failing: tuple[tuple[int, object], ...] = ()
    observed: object = None
    by_row: bool = False

    @property
    def stops(self) -> bool:
        """Whether the requests as a whole cannot be used."""
        return not self.passed and self.level == "error" and not self.by_row

    @property
    def leaves_out(self) -> bool:
        """Whether the rows that break it cannot be used."""
        return self.by_row and self.level == "error"

    def __str__(self) -> str:
        if self.by_row:
            shown = ", ".join(f"id {row} has {value}" for row, value in self.first_failing)
            return f"{self.name}: not so in {self.failing.size:,} row{'s' * (self.failing.size != 1)} ({shown})"
        found = f"{self.observed:.4g}" if isinstance(self.observed, float) else self.observed
        return f"{self.name}: found {found}"


def run_expectations(frame: pd.DataFrame, expectations: list[Any], suite: str) -> tuple[tuple[Check, ...], Any]:
    """Return the outcome of each expectation, in their order, and the result as Great Expectations gives it.

    Args:
        frame: its index labels the rows. Nullable types take a Python call a value: give NumPy's.
        expectations: of `schemas.expectations`.
        suite: its name in reports.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("cache_metrics").add_dataframe_asset(suite)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    # Without unexpected_index_column_names, which makes a dict for each row that fails: a minute for a million.
    shown = {
        "result_format": "COMPLETE",
        "return_unexpected_index_query": False,
        "partial_unexpected_count": SHOWN_ROWS,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, about how Great Expectations uses it
        result = batch.validate(gx.ExpectationSuite(suite, expectations=expectations), result_format=shown)
    checks = {check.name: check for check in (_check(one, frame) for one in result.results)}
    return tuple(checks[expectation.meta["name"]] for expectation in expectations), result


def _check(result: Any, frame: pd.DataFrame) -> Check:
    config, found = result.expectation_config, result.result
    if not result.success and not found:
        raise RuntimeError(f"expectation {config.meta['name']!r} could not be run: {result.exception_info}")
    by_row = "unexpected_count" in found
    failing = np.asarray(found.get("unexpected_index_list") or NO_ROWS, np.int64)
    values = frame[config.kwargs["column"]].loc[failing[:SHOWN_ROWS]]
    return Check(
        name=config.meta["name"],
        level=config.meta["level"],
        passed=bool(result.success),
        failing=failing,
        first_failing=tuple((int(label), _plain(value)) for label, value in values.items()),
        observed=None if by_row else _plain(found.get("observed_value")),
        by_row=by_row,
    )


def _plain(value: object) -> object:
    """The value as JSON has it; a whole number as such, whatever its column."""
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value
