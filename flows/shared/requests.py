"""What the flows that read requests share: recording a source first, reading and checking rows, timing the steps."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from flows.engine.runtime import STORAGE_RETRIES, io_task, progress, say
from flows.shared.validation import Validation, documented, judged
from infra.settings import Settings
from schemas.bundle import DataProfile
from schemas.errors import ConfigError, TraceError
from schemas.expectations import MIN_REQUESTS
from schemas.options.simulate import SimulateConfig
from schemas.options.train import ReadConfig
from schemas.tables import cache_metrics
from schemas.trace import Trace
from tasks.drift.psi import profile_of
from tasks.extract.feature_columns import choose_features
from tasks.extract.read import HOW_TO_FILL, RowQuery, Watermark, is_empty, read_rows, watermark
from tasks.extract.to_trace import to_trace
from tasks.ingest.record import IngestedSource, ingest_file
from tasks.simulate.record import record_simulated
from tasks.steps import step_done

NO_SOURCE = "none"
REPORTS = "reports"  # folder in the home


class StepClock:
    """Names the steps of a run on stderr and keeps how long each took, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the step `name`."""
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)
        say(f"{name:<9} {self.seconds[name]:6.1f} s")
        step_done(name)


@dataclass(frozen=True)
class Requests:
    """Requests that can be trained on.

    Attributes:
        trace: in time order.
        query: that gave them.
        watermark: up to where rows were read, the invalid ones included.
        profile: how the features of the training requests are distributed, or of all where nothing is learned.
        validation: what was found in the rows, and where it is told.
    """

    trace: Trace
    query: RowQuery
    watermark: Watermark
    profile: DataProfile
    validation: Validation

    def origin(self, engine: sa.Engine, source: str | None) -> tuple[str, dict[str, Any]]:
        """Return what the data are called, and where they are: the database, its password masked, and the query."""
        where = {"database": engine.url.render_as_string(hide_password=True), "source": source, **asdict(self.query)}
        name = self.query.table if source in (None, NO_SOURCE) else Path(source).name
        return name, {option: value for option, value in where.items() if value not in (None, ())}


def read_requests(
    engine: sa.Engine,
    settings: Settings,
    config: ReadConfig,
    clock: StepClock,
    feature_columns: tuple[str, ...] = (),
    training_requests: Callable[[int], int] | None = int,
    decision: str | None = None,
) -> Requests:
    """Record the source that `config` names if need be; return the validated requests.

    Rows that are invalid are left out and copied to the quarantine.

    Args:
        engine: of `open_database`.
        settings: where the report of the validation goes.
        config: which requests.
        clock: times the steps.
        feature_columns: columns to learn from; which of them were taken is said on stderr.
        training_requests: of how many there are, how many, the earliest, are learned from; None = nothing is, the
            columns are taken as they are.
        decision: drift is measured from the data of the model for this decision; None = not at all.

    Raises:
        InputError: the source or a column cannot be read, or there are no such requests.
        UnfitError: the requests are not fit for use.
        StorageError: the database failed.
    """
    rows, query = read_recorded(engine, config, clock, feature_columns)
    mark = watermark(rows)
    with clock.step("validate"):
        report, quarantined = judged(engine, rows, config, decision)
        report.require()
        rows = report.kept(rows)
        training = len(rows)
        if training_requests is not None:
            training = training_requests(len(rows))
            rows, said = choose_features(rows, training)
            for line in said:
                say(line)
        profile = profile_of(rows.iloc[:training], rows.attrs["feature_columns"])
        validation = documented(settings.ers_home / REPORTS, report, quarantined)
        return Requests(to_trace(rows), query, mark, profile, validation)


def read_recorded(
    engine: sa.Engine, config: ReadConfig, clock: StepClock, feature_columns: tuple[str, ...] = ()
) -> tuple[pd.DataFrame, RowQuery]:
    """Record the source that `config` names if need be; return the rows as they are, and the query that gave them."""
    with clock.step("record"):
        source_id = _record(engine, config)
    query = RowQuery(
        table=config.table,
        source_id=source_id,
        since=config.since,
        until=config.until,
        after=Watermark.parse(config.after) if config.after else None,
        max_queries=config.max_queries,
        feature_columns=feature_columns,
        key_sample=config.key_sample,
    )
    with clock.step("extract"):
        return io_task(read_rows, retries=STORAGE_RETRIES, name="extract")(engine, query), query


def _record(engine: sa.Engine, config: ReadConfig) -> int | None:
    """Fill the table as `source` says; return which recorded source to read, or None for all rows."""
    if config.table != cache_metrics.name:
        if config.source not in (None, NO_SOURCE):
            raise ConfigError(f"source: files are recorded into {cache_metrics.name}, not into {config.table}")
        return None
    if config.source == NO_SOURCE and is_empty(engine):
        raise TraceError(f"the table {cache_metrics.name} is empty; {HOW_TO_FILL}")
    if config.source not in (None, NO_SOURCE):
        with progress("ingest", "rows") as on_progress:
            recorded = io_task(ingest_file, retries=STORAGE_RETRIES, name="ingest")(
                engine, config.to_ingest(), on_progress, MIN_REQUESTS
            )
        say(_recorded(recorded))
        return recorded.source_id
    if config.source is None and is_empty(engine):
        say("the table cache_metrics is empty: recording simulated traffic of an energy data API first")
        with progress("simulate", "rows") as on_progress:
            recorded = io_task(record_simulated, retries=STORAGE_RETRIES, name="simulate")(
                engine, SimulateConfig(), on_progress
            )
        say(_recorded(recorded))
    return None


def _recorded(source: IngestedSource) -> str:
    lines = [f"{source.name}: {source.rows:,} requests, {source.added_rows:,} of them new"]
    if source.rejected_rows:
        first = f", the first: {source.first_rejections[0]}" if source.first_rejections else ""
        lines.append(f"{source.rejected_rows:,} broken lines left out{first}")
    if source.skipped_rows:
        lines.append(f"{source.skipped_rows:,} requests left out that no cache may answer")
    return "\n".join(lines)
