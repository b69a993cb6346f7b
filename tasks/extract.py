"""Reading requests back: rows of `cache_metrics` in time order, and the Trace that is made of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa
from numpy.typing import NDArray

from cachesim.categories import MAX_CHARS
from cachesim.keysample import sql_condition
from infra.database import storage_errors
from schemas.errors import TraceError
from schemas.tables import cache_metrics
from schemas.trace import IntArray, Trace
from tasks.feature_columns import FeaturePlan, is_text, plan_features

FETCH_ROWS = 100_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ALWAYS_READ = ("id", "timestamp", "cache_name", "cache_key", "size_bytes", "load_time_ms", "origin_version")
HOW_TO_FILL = "record some: `python -m flows ingest --source access.log`, or simulated ones: `python -m flows simulate`"


@dataclass(frozen=True)
class RowQuery:
    """Which requests to read.

    Attributes:
        source_id: of one recorded source; None = all rows, those of services included.
        since: first moment to read; without a zone it is UTC; None = from the first row.
        until: moment to stop before, likewise.
        max_queries: rows to read, the newest ones; None = all.
        feature_columns: columns to learn from, to read besides, those that users added included; "auto" among them
            reads all that might do.
        key_sample: share of the keys to read, in (0, 1], chosen by their hash.
    """

    source_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    max_queries: int | None = None
    feature_columns: tuple[str, ...] = ()
    key_sample: float = 1.0


def require_features(engine: sa.Engine, names: tuple[str, ...]) -> FeaturePlan:
    """Return what is to be read for `feature_columns`; see `feature_columns.plan_features` for the errors."""
    with storage_errors(engine.url), engine.connect() as connection:
        return plan_features(_reflected(connection), names)


def is_empty(engine: sa.Engine) -> bool:
    """Return whether no request is recorded; StorageError when the database fails."""
    with storage_errors(engine.url), engine.connect() as connection:
        return connection.execute(sa.select(cache_metrics.c.id).limit(1)).first() is None


def read_rows(engine: sa.Engine, query: RowQuery) -> pd.DataFrame:
    """Return the requests that `query` asks for, ordered by (timestamp, id).

    Returns:
        One row a request: id, timestamp (int64, microseconds since 1970 UTC), cache_name, cache_key (categorical),
        size_bytes, origin_version (Int64), load_time_ms (float64), and the feature columns (Int64, float64, boolean;
        text as categorical, its beginning only). `attrs["feature_columns"]` holds the names that were asked for,
        `attrs["plan"]` what "auto" found besides.

    Raises:
        ConfigError: a feature column is unknown, named twice, or of a kind that cannot be learned from.
        TraceError: a column of numbers holds something else, which SQLite allows.
        TraceError: there are no such requests; the message says how to record some.
        StorageError: the database failed.
    """
    with storage_errors(engine.url), engine.connect() as connection:
        table = _reflected(connection)
        plan = plan_features(table, query.feature_columns)
        columns = [table.columns[name] for name in dict.fromkeys((*ALWAYS_READ, *plan.read))]
        rows = _fetch(connection, _select(table, columns, query), columns)
        if not rows.num_rows:
            raise TraceError(_nothing(connection, query))
    frame = _frame(rows)
    frame.attrs.update(feature_columns=plan.asked, plan=plan)
    return frame


def count_requests(engine: sa.Engine, query: RowQuery, trace: Trace) -> int:
    """Return how many requests of all keys there are from the first to the last request of a trace that `query` gave.

    Raises:
        StorageError: the database failed.
    """
    first_us, last_us = (round(float(trace.timestamp_s[i]) * 1e6) for i in (0, -1))
    timestamp = cache_metrics.c.timestamp
    count = sa.select(sa.func.count()).where(timestamp >= first_us, timestamp <= last_us)
    if query.source_id is not None:
        count = count.where(cache_metrics.c.source_id == query.source_id)
    with storage_errors(engine.url), engine.connect() as connection:
        return int(connection.execute(count).scalar_one())


def to_trace(rows: pd.DataFrame) -> Trace:
    """Return the Trace of rows of `read_rows`.

    An object is a (cache_name, cache_key) pair, numbered in order of first appearance, as endpoints are. A missing size
    is the last one known of the object, else 1. A missing content version is the last one known of the object, else
    its first one known later, else 0; where no row has one the trace has none. A missing load time or feature is NaN.

    Raises:
        TraceError: a value is outside what a Trace takes, e.g. the rows are not in time order.
    """
    keys, distinct = pd.factorize(object_codes(rows))
    endpoints, present = pd.factorize(_codes(rows["cache_name"]))
    names = tuple(str(rows["cache_name"].cat.categories[int(code)]) for code in present)
    features: tuple[str, ...] = tuple(rows.attrs.get("feature_columns", ()))
    texts = tuple(name for name in features if is_text(rows[name]))
    numbers = tuple(name for name in features if name not in texts)
    return Trace(
        key=keys.astype(np.int64),
        timestamp_s=rows["timestamp"].to_numpy(np.int64) / 1e6,
        size_bytes=_filled(rows["size_bytes"], keys, 1),
        load_time_ms=rows["load_time_ms"].to_numpy(np.float32, na_value=np.nan),
        endpoint=endpoints.astype(np.int32),
        n_keys=len(distinct),
        endpoint_names=names,
        version=None if rows["origin_version"].isna().all() else _versions(rows["origin_version"], keys),
        columns=_stacked([_float32(rows[name]) for name in numbers], len(rows), np.float32),
        column_names=numbers,
        texts=_stacked([rows[name].cat.codes.to_numpy(np.int32) for name in texts], len(rows), np.int32),
        text_names=texts,
        text_values=tuple(tuple(map(str, rows[name].cat.categories)) for name in texts),
    )


def object_codes(rows: pd.DataFrame) -> IntArray:
    """Return a number for the (cache_name, cache_key) pair of each row: equal pairs, equal numbers."""
    pairs: IntArray = _codes(rows["cache_name"]) * len(rows["cache_key"].cat.categories) + _codes(rows["cache_key"])
    return pairs


def _codes(column: pd.Series) -> IntArray:
    return np.asarray(column.cat.codes, np.int64)


def _reflected(connection: sa.Connection) -> sa.Table:
    return sa.Table(cache_metrics.name, sa.MetaData(), autoload_with=connection)


def _select(table: sa.Table, columns: list[sa.Column[object]], query: RowQuery) -> sa.Select[tuple[object, ...]]:
    select = sa.select(*(_shown(column) for column in columns))
    if query.source_id is not None:
        select = select.where(table.c.source_id == query.source_id)
    if query.since is not None:
        select = select.where(table.c.timestamp >= microseconds(query.since))
    if query.until is not None:
        select = select.where(table.c.timestamp < microseconds(query.until))
    if query.key_sample < 1:
        select = select.where(sa.text(sql_condition(query.key_sample)))
    if query.max_queries is not None:
        select = select.order_by(table.c.timestamp.desc(), table.c.id.desc()).limit(query.max_queries)
    return select  # sorted once read: in the order of ids a scan is sequential


def _shown(column: sa.Column[object]) -> sa.ColumnElement[object]:
    """The column; of a text that users added only as much as tells that it is too long to be a category."""
    if column.name in ALWAYS_READ or not isinstance(column.type, sa.String):
        return column
    return sa.func.substr(sa.cast(column, sa.String), 1, MAX_CHARS + 1).label(column.name)


def microseconds(moment: datetime) -> int:
    """Return microseconds since 1970 UTC; a moment without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)


def _fetch(
    connection: sa.Connection, select: sa.Select[tuple[object, ...]], columns: list[sa.Column[object]]
) -> pa.Table:
    schema = pa.schema([(column.name, _arrow_type(column)) for column in columns])
    # The driver's cursor: SQLAlchemy's own rows would add half of the time again. Not with its option stream_results,
    # which takes the first row off the cursor.
    cursor = connection.execute(select).cursor
    chunks = (_chunk(rows, schema) for rows in iter(lambda: cursor.fetchmany(FETCH_ROWS), []))
    tables = [pa.Table.from_batches([], _encoded(schema)), *chunks]
    return pa.concat_tables(tables).unify_dictionaries()


def _chunk(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns: Iterator[tuple[Any, ...]] = zip(*rows, strict=True)
    arrays = [_array(values, field) for values, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=_encoded(schema))


def _array(values: tuple[object, ...], field: pa.Field) -> pa.Array:
    if pa.types.is_string(field.type):
        return pa.array(values, field.type).dictionary_encode()
    if pa.types.is_boolean(field.type):
        return pa.array([None if value is None else bool(value) for value in values], field.type)
    try:
        return pa.array(values, field.type)
    except pa.ArrowInvalid:  # decimals, and what SQLite lets into any column
        return pa.array([_number(value, field) for value in values], field.type)


def _number(value: Any, field: pa.Field) -> float | int | None:
    try:
        return None if value is None else (int if pa.types.is_integer(field.type) else float)(value)
    except (TypeError, ValueError, OverflowError):
        raise TraceError(
            f"cache_metrics: column {field.name} holds {value!r} where a number is needed; mend or remove it"
        ) from None


def _encoded(schema: pa.Schema) -> pa.Schema:
    """The schema with strings as codes into a dictionary, so that a key is held once."""
    codes = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([(field.name, codes if pa.types.is_string(field.type) else field.type) for field in schema])


def _arrow_type(column: sa.Column[object]) -> pa.DataType:
    if isinstance(column.type, sa.Boolean):
        return pa.bool_()
    if isinstance(column.type, sa.Integer):
        return pa.int64()
    return pa.float64() if isinstance(column.type, sa.Numeric) else pa.string()


def _frame(rows: pa.Table) -> pd.DataFrame:
    kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = rows.to_pandas(types_mapper=kinds.get, self_destruct=True, split_blocks=True)
    frame = frame.astype({"id": np.int64, "timestamp": np.int64})
    order = np.lexsort((frame["id"].to_numpy(), frame["timestamp"].to_numpy()))
    in_order = bool(np.all(order == np.arange(len(order))))
    return frame if in_order else frame.take(order).reset_index(drop=True)


def _nothing(connection: sa.Connection, query: RowQuery) -> str:
    if connection.execute(sa.select(cache_metrics.c.id).limit(1)).first() is None:
        return f"the table {cache_metrics.name} is empty; {HOW_TO_FILL}"
    limits = [f"source {query.source_id}"] if query.source_id is not None else []
    limits += [f"since {query.since.isoformat()}"] if query.since else []
    limits += [f"until {query.until.isoformat()}"] if query.until else []
    limits += [f"{query.key_sample:g} of the keys"] if query.key_sample < 1 else []
    first, last = connection.execute(
        sa.select(sa.func.min(cache_metrics.c.timestamp), sa.func.max(cache_metrics.c.timestamp))
    ).one()
    asked, spans = ", ".join(limits), f"{_iso(first)} to {_iso(last)}"
    return f"{cache_metrics.name} has no requests for {asked}; it spans {spans}; choose others, or {HOW_TO_FILL}"


def _iso(timestamp_us: int) -> str:
    return (EPOCH + timedelta(microseconds=timestamp_us)).isoformat()


def _filled(sizes: pd.Series, keys: NDArray[np.intp], default: int) -> IntArray:
    if sizes.isna().any():
        sizes = sizes.groupby(keys).ffill().fillna(default)
    return sizes.to_numpy(np.int64)


def _versions(versions: pd.Series, keys: NDArray[np.intp]) -> IntArray:
    if versions.isna().any():
        versions = versions.groupby(keys).ffill().groupby(keys).bfill()
    return versions.fillna(0).to_numpy(np.int64)


def _float32(column: pd.Series) -> NDArray[np.float32]:
    """The numbers, NaN where missing; what is finite stays so."""
    values = column.to_numpy(np.float64, na_value=np.nan)
    limit = np.where(np.isinf(values), np.inf, np.finfo(np.float32).max)
    clipped: NDArray[np.float32] = np.clip(values, -limit, limit).astype(np.float32)
    return clipped


def _stacked(columns: list[NDArray[Any]], rows: int, dtype: type) -> NDArray[Any]:
    return np.column_stack(columns) if columns else np.empty((rows, 0), dtype)
