"""Reading requests back: rows of `cache_metrics`, or of a table like it, in time order."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from cachesim.analysis.key_sample import sql_condition
from cachesim.features.categories import MAX_CHARS
from infra.database.connection import reading, reflected_table
from schemas.errors import ConfigError, TraceError
from schemas.tables import EPOCH, aware, cache_metrics, microseconds
from schemas.trace import Trace
from tasks.extract.feature_columns import FeaturePlan, plan_features
from tasks.extract.fetch import fetch

NEEDED = ("id", "timestamp", "cache_name", "cache_key")
OPTIONAL = ("size_bytes", "load_time_ms", "origin_version")  # null throughout where a table lacks them
HOW_TO_FILL = "record some: `python -m flows ingest --source access.log`, or simulated ones: `python -m flows simulate`"


@dataclass(frozen=True, order=True)
class Watermark:
    """Up to where rows were read: time and id of the last one, in their order."""

    timestamp_us: int
    id: int

    def __str__(self) -> str:
        return f"{self.timestamp_us}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Watermark":
        """Return the watermark that `str` wrote; ConfigError when it is none."""
        timestamp_us, _, row_id = text.partition(":")
        try:
            return cls(int(timestamp_us), int(row_id))
        except ValueError:
            raise ConfigError(
                f"after: takes TIMESTAMP_US:ID, as the result of an earlier run gives it (data.watermark), got {text!r}"
            ) from None


@dataclass(frozen=True)
class RowQuery:
    """Which requests to read.

    Attributes:
        table: table or view to read; it needs the columns id, timestamp, cache_name and cache_key.
        source_id: of one recorded source; None = all rows, those of services included.
        since: first moment to read; without a zone it is UTC; None = from the first row.
        until: moment to stop before, likewise.
        after: only rows behind this watermark; None = all.
        max_queries: rows to read, the newest ones; None = all.
        feature_columns: columns to learn from, to read besides, those that users added included; "auto" among them
            reads all that might do.
        key_sample: share of the keys to read, in (0, 1], chosen by their hash.
    """

    table: str = cache_metrics.name
    source_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: Watermark | None = None
    max_queries: int | None = None
    feature_columns: tuple[str, ...] = ()
    key_sample: float = 1.0


def require_features(engine: sa.Engine, table: str, names: tuple[str, ...]) -> FeaturePlan:
    """Return what is to be read of `table` for `feature_columns`.

    Raises:
        ConfigError: there is no such table, or a column of it that was named cannot be learned from.
        StorageError: the database failed.
    """
    with reading(engine) as connection:
        return plan_features(_requests_table(connection, table), names)


def absent_columns(engine: sa.Engine, table: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return which of the columns `table` has not; see `require_features` for what is raised."""
    with reading(engine) as connection:
        present = _requests_table(connection, table).columns
    return tuple(name for name in names if name not in present)


def is_empty(engine: sa.Engine) -> bool:
    """Return whether `cache_metrics` has no row; StorageError when the database fails."""
    with reading(engine) as connection:
        return connection.execute(sa.select(cache_metrics.c.id).limit(1)).first() is None


def read_rows(engine: sa.Engine, query: RowQuery) -> pd.DataFrame:
    """Return the requests that `query` asks for as they are at one moment, ordered by (timestamp, id).

    Returns:
        One row a request: id, timestamp (int64, microseconds since 1970 UTC), cache_name, cache_key (categorical),
        size_bytes, origin_version (Int64), load_time_ms (float64), and the feature columns (Int64, float64, boolean;
        text as categorical, its beginning only). `attrs["feature_columns"]` holds the names that were asked for,
        `attrs["plan"]` what "auto" found besides.

    Raises:
        ConfigError: there is no such table, or it lacks a column that is needed; a feature column is unknown, named
            twice, or of a kind that cannot be learned from.
        TraceError: a column of numbers holds something else, which SQLite allows, or a timestamp is missing.
        TraceError: there are no such requests; the message says how to record some.
        StorageError: the database failed.
    """
    with reading(engine) as connection:
        table = _requests_table(connection, query.table)
        plan = plan_features(table, query.feature_columns)
        present = [name for name in OPTIONAL if name in table.columns]
        columns = [table.columns[name] for name in dict.fromkeys((*NEEDED, *present, *plan.read))]
        select = _select(table, columns, query, connection.dialect.name)
        if query.max_queries is not None:
            select = _newest(connection, table, select, query.max_queries)
        rows = fetch(connection, select, table)
        if not rows.num_rows:
            raise TraceError(_nothing(connection, table, query))
    frame = _frame(rows, query.table)
    frame.attrs.update(feature_columns=plan.asked, plan=plan)
    return frame


def count_rows(engine: sa.Engine, query: RowQuery) -> int:
    """Return how many rows `query` asks for, whatever its `max_queries`; see `require_features` for what is raised."""
    with reading(engine) as connection:
        table = _requests_table(connection, query.table)
        return int(connection.execute(_limited(sa.select(sa.func.count(table.c.id)), table, query)).scalar_one())


def count_requests(engine: sa.Engine, query: RowQuery, trace: Trace) -> int:
    """Return how many requests of all keys there are from the first to the last request of a trace that `query` gave.

    Raises:
        StorageError: the database failed.
    """
    first, last = (EPOCH + timedelta(microseconds=round(float(trace.timestamp_s[i]) * 1e6)) for i in (0, -1))
    with reading(engine) as connection:
        table = _requests_table(connection, query.table)
        timestamp = table.c.timestamp
        count = sa.select(sa.func.count()).where(timestamp >= _moment(table, first), timestamp <= _moment(table, last))
        if query.source_id is not None:
            count = count.where(table.c.source_id == query.source_id)
        return int(connection.execute(count).scalar_one())


def watermark(rows: pd.DataFrame) -> Watermark:
    """Return up to where rows of `read_rows` go."""
    last = rows.iloc[-1]
    return Watermark(int(last["timestamp"]), int(last["id"]))


def _requests_table(connection: sa.Connection, name: str) -> sa.Table:
    table = reflected_table(connection, name)
    missing = [column for column in NEEDED if column not in table.columns]
    if missing:
        raise ConfigError(
            f"table {name} lacks {', '.join(missing)}; a table of requests has {', '.join(NEEDED)}, and where known "
            f"{', '.join(OPTIONAL)}; make a view with these names"
        )
    return table


def _select(table: sa.Table, columns: list[sa.Column[Any]], query: RowQuery, dialect: str) -> sa.Select[Any]:
    select = sa.select(*(_shown(column, dialect) for column in columns))
    return _limited(select, table, query)  # sorted once read: in the order of ids a scan is sequential


def _limited(select: sa.Select[Any], table: sa.Table, query: RowQuery) -> sa.Select[Any]:
    """Limit a query to the rows that are asked for, however many."""
    if query.source_id is not None:
        select = select.where(table.c.source_id == query.source_id)
    if query.since is not None:
        select = select.where(table.c.timestamp >= _moment(table, query.since))
    if query.until is not None:
        select = select.where(table.c.timestamp < _moment(table, query.until))
    if query.after is not None:
        select = select.where(_behind(table, query.after))
    if query.key_sample < 1:
        select = select.where(_sampled(table, query.key_sample))
    return select


def _newest(connection: sa.Connection, table: sa.Table, select: sa.Select[Any], number: int) -> sa.Select[Any]:
    """Limit a query to its newest rows: to those that are not before the first of them."""
    latest_first = select.order_by(table.c.timestamp.desc(), table.c.id.desc())
    first = connection.execute(
        latest_first.with_only_columns(table.c.timestamp, table.c.id).offset(number - 1).limit(1)
    )
    row = first.one_or_none()
    if row is None:
        return select
    timestamp = table.c.timestamp
    return select.where(sa.or_(timestamp > row[0], sa.and_(timestamp == row[0], table.c.id >= row[1])))


def _behind(table: sa.Table, mark: Watermark) -> sa.ColumnElement[bool]:
    moment = _moment(table, EPOCH + timedelta(microseconds=mark.timestamp_us))
    timestamp = table.c.timestamp
    return sa.or_(timestamp > moment, sa.and_(timestamp == moment, table.c.id > mark.id))


def _sampled(table: sa.Table, rate: float) -> sa.TextClause:
    if "key_hash" not in table.columns:
        raise ConfigError(f"key_sample: table {table.name} has no key_hash to choose keys by; read all keys")
    return sa.text(sql_condition(rate))


def _shown(column: sa.Column[Any], dialect: str) -> sa.ColumnElement[Any]:
    """The column; of a text that users added only as much as tells that it is too long to be a category."""
    kind = column.type
    if isinstance(kind, sa.String) and column.name not in NEEDED:
        return sa.func.substr(sa.cast(column, sa.String), 1, MAX_CHARS + 1).label(column.name)
    if isinstance(kind, sa.Numeric) and not isinstance(kind, sa.Double):  # the readers round decimals, each in its way
        return _DOUBLE.get(dialect, sa.ColumnElement.self_group)(column).label(column.name)
    return column


_DOUBLE: dict[str, Callable[[sa.Column[Any]], sa.ColumnElement[Any]]] = {  # SQLite has no decimals
    "mysql": lambda column: column + sa.literal_column("0e0", sa.Double),
    "postgresql": lambda column: sa.cast(column, sa.Double),
}


def _moment(table: sa.Table, moment: datetime) -> Any:
    """A moment, UTC when it has no zone, as the column `timestamp` of the table counts: microseconds, or a datetime."""
    kind = table.c.timestamp.type
    if not isinstance(kind, sa.DateTime):
        return microseconds(moment)
    utc = aware(moment)
    return utc if kind.timezone else utc.astimezone(UTC).replace(tzinfo=None)


def _frame(rows: pa.Table, table: str) -> pd.DataFrame:
    rows = _with_optional(rows)
    timestamp = rows.column("timestamp")
    if timestamp.null_count:
        raise TraceError(f"table {table}: {timestamp.null_count:,} rows have no timestamp; mend or leave them out")
    if pa.types.is_timestamp(timestamp.type):
        position = rows.column_names.index("timestamp")
        rows = rows.set_column(position, "timestamp", timestamp.cast(pa.int64()))
    kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    order = None if _in_order(rows) else pc.sort_indices(rows, [("timestamp", "ascending"), ("id", "ascending")])
    frame: pd.DataFrame = (rows if order is None else rows.take(order)).to_pandas(
        types_mapper=kinds.get, self_destruct=True, split_blocks=True
    )
    if not frame["id"].is_unique:
        raise TraceError(f"table {table}: the same id stands in several rows; number the rows")
    return frame.astype({"id": np.int64, "timestamp": np.int64})


def _in_order(rows: pa.Table) -> bool:
    timestamp, row_id = (rows.column(name).to_numpy() for name in ("timestamp", "id"))
    step = np.diff(timestamp)
    return bool(np.all((step > 0) | ((step == 0) & (np.diff(row_id) > 0))))


def _with_optional(rows: pa.Table) -> pa.Table:
    for name in OPTIONAL:
        if name not in rows.column_names:
            kind = pa.float64() if name == "load_time_ms" else pa.int64()
            rows = rows.append_column(name, pa.nulls(rows.num_rows, kind))
    return rows


def _nothing(connection: sa.Connection, table: sa.Table, query: RowQuery) -> str:
    first, last = connection.execute(sa.select(sa.func.min(table.c.timestamp), sa.func.max(table.c.timestamp))).one()
    if first is None:
        return f"the table {table.name} is empty; {HOW_TO_FILL}"
    limits = [f"source {query.source_id}"] if query.source_id is not None else []
    limits += [f"since {query.since.isoformat()}"] if query.since else []
    limits += [f"until {query.until.isoformat()}"] if query.until else []
    limits += [f"after {query.after}"] if query.after else []
    limits += [f"{query.key_sample:g} of the keys"] if query.key_sample < 1 else []
    asked, spans = ", ".join(limits), f"{_iso(first)} to {_iso(last)}"
    return f"{table.name} has no requests for {asked}; it spans {spans}; choose others, or {HOW_TO_FILL}"


def _iso(timestamp: int | datetime) -> str:
    moment = timestamp if isinstance(timestamp, datetime) else EPOCH + timedelta(microseconds=timestamp)
    return aware(moment).isoformat()
