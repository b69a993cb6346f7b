"""The rows of a query as columns: by connectorx where it is installed, else by SQLAlchemy; the same either way."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from schemas.errors import TraceError
from schemas.tables import aware

FETCH_ROWS = 20_000
FAST_DATABASES = ("mysql", "postgresql")
HARMLESS_OPTIONS = frozenset({"charset", "local_infile"})


def fetch(connection: sa.Connection, query: sa.Select[Any], table: sa.Table) -> pa.Table:
    """Return the rows of `query` as columns, text as codes into dictionaries, so that a key is held once.

    Rows are read in chunks of `FETCH_ROWS`, hence memory is that of the result and of one chunk.

    Args:
        connection: in a transaction that sees one moment of the database.
        query: selects columns, or expressions named as columns, of `table`, its `id` among them; in any order.
        table: as reflected; tells the types: int64, float64, bool, timestamp (microseconds, UTC), string.

    Raises:
        TraceError: a column of numbers holds something else, which SQLite allows.
        SQLAlchemyError: the database failed.
    """
    columns = [table.columns[column.name] for column in query.selected_columns]
    schema = pa.schema([(column.name, _arrow_type(column)) for column in columns])
    if _suits_fast_reader(connection, columns):
        # What makes it fail, a lost connection or text among numbers, the other reader tells better.
        with suppress(RuntimeError, pa.ArrowInvalid, ImportError):
            return _joined(_fast_chunks(connection, query, schema), schema)
    with _no_collections():
        return _joined(_plain_chunks(connection, query, schema), schema)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Pause the search for cycles: rows are many and have none, and it would take two fifths of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _suits_fast_reader(connection: sa.Connection, columns: list[sa.Column[Any]]) -> bool:
    """Not SQLite: connectorx brings a library of its own, and two in a process take each other's locks away.

    It opens a connection of its own, which knows no options in the address but those that change nothing for it.
    """
    url = connection.engine.url
    zoned = any(isinstance(column.type, sa.TIMESTAMP) for column in columns)  # MySQL gives it in the session's zone
    backend = url.get_backend_name()
    suits = backend in FAST_DATABASES and bool(url.host) and HARMLESS_OPTIONS.issuperset(url.query)
    return suits and not (zoned and backend == "mysql")


def _fast_chunks(connection: sa.Connection, query: sa.Select[Any], schema: pa.Schema) -> Iterator[pa.Table]:
    import connectorx

    dialect_type: Any = type(connection.dialect)
    dialect = dialect_type(paramstyle="named")  # else a percent sign in a name would be doubled
    text = str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    url = connection.engine.url
    address = url.set(drivername=url.get_backend_name(), query={}).render_as_string(hide_password=False)
    batches: Any = connectorx.read_sql(address, text, return_type="arrow_stream", batch_size=FETCH_ROWS)
    for batch in batches:
        arrays = [_cast(array, field.type) for array, field in zip(batch.columns, schema, strict=True)]
        yield pa.table(arrays, schema=_encoded(schema))


def _cast(array: pa.Array, to: pa.DataType) -> pa.Array:
    cast = array.cast(to)
    return cast.dictionary_encode() if pa.types.is_string(to) else cast


def _plain_chunks(connection: sa.Connection, query: sa.Select[Any], schema: pa.Schema) -> Iterator[pa.Table]:
    if connection.dialect.name == "sqlite":  # its cursor streams; SQLAlchemy's rows would add half of the time again
        cursor: Any = connection.execute(query).cursor
        batches = iter(lambda: cursor.fetchmany(FETCH_ROWS), [])
    else:
        batches = _pages(connection, query)
    for rows in batches:
        values = zip(*rows, strict=True)
        arrays = [_array(column, field) for column, field in zip(values, schema, strict=True)]
        yield pa.table(arrays, schema=_encoded(schema))


def _pages(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[list[Any]]:
    """The rows by their ids, page by page; a page begins with the last id before, should that be there twice.

    The drivers keep all rows of a result, and what they offer to stream leaves loose ends when a server goes away.
    """
    row_id = query.selected_columns["id"]
    page, skipped, last = query, 0, None
    while rows := connection.execute(page.order_by(row_id).limit(FETCH_ROWS)).all()[skipped:]:
        yield list(rows)
        if rows[-1].id == last:
            return  # so often the same id that there is no way on
        last, skipped = rows[-1].id, 1
        page = query.where(row_id >= last)


def _array(values: tuple[Any, ...], field: pa.Field) -> pa.Array:
    if pa.types.is_string(field.type):
        return _texts(values, field).dictionary_encode()
    try:
        return pa.array(values, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # decimals, and what SQLite lets into any column
        return pa.array([_converted(value, field) for value in values], field.type)


def _texts(values: tuple[Any, ...], field: pa.Field) -> pa.Array:
    try:
        return pa.array(values, field.type)
    except pa.ArrowTypeError:  # a column without a type, as SQLite has them
        other = next(value for value in values if not isinstance(value, str | bytes | None))
        raise TraceError(
            f"column {field.name} holds {other!r} where text is needed; give it a type: SQLite knows none of what a "
            "view computes"
        ) from None


def _converted(value: Any, field: pa.Field) -> object:
    try:
        return None if value is None else CONVERT[field.type](value)
    except (TypeError, ValueError, OverflowError):
        needed = "a moment" if pa.types.is_timestamp(field.type) else "a number of 64 bits"
        raise TraceError(f"column {field.name} holds {value!r} where {needed} is needed; mend or remove it") from None


def _whole(value: Any) -> int:
    if not -(2**63) <= int(value) < 2**63:
        raise OverflowError
    return int(value)


def _moment(value: Any) -> datetime:
    return aware(datetime.fromisoformat(value))


MOMENT = pa.timestamp("us", "UTC")
CONVERT: dict[pa.DataType, Callable[[Any], object]] = {
    pa.int64(): _whole,
    pa.float64(): float,
    pa.bool_(): bool,
    MOMENT: _moment,
}


def _joined(chunks: Iterator[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([pa.Table.from_batches([], _encoded(schema)), *chunks]).unify_dictionaries()


def _encoded(schema: pa.Schema) -> pa.Schema:
    codes = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([(field.name, codes if pa.types.is_string(field.type) else field.type) for field in schema])


def _arrow_type(column: sa.Column[Any]) -> pa.DataType:
    if isinstance(column.type, sa.Boolean):
        return pa.bool_()
    if isinstance(column.type, sa.DateTime):
        return MOMENT
    if isinstance(column.type, sa.Integer):
        return pa.int64()
    return pa.float64() if isinstance(column.type, sa.Numeric) else pa.string()
