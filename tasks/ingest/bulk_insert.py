"""Many rows into a table by the fastest way that its database has: COPY, LOAD DATA, or one prepared statement."""

import tempfile
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from schemas.errors import StorageError

ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
NULL = "\\N"


def bulk_insert(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    """Insert `rows` in the transaction of `connection`.

    Args:
        connection: of `writing`.
        table: as reflected, or as described in `schemas`; its names are quoted.
        rows: its columns are named as those of `table` and have their final types; moments are
            UTC without a zone.

    Raises:
        SQLAlchemyError: the database refuses a row or fails.
        StorageError: MySQL would have changed a value.
    """
    insert = {"postgresql": _copy, "mysql": _load_data}.get(connection.dialect.name, _execute_many)
    insert(connection, table, rows)


def _copy(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    name, columns = _quoted(connection, table, rows)
    driver: Any = connection.connection.driver_connection
    statement = f"COPY {name} ({columns}) FROM STDIN".replace("%%", "%")  # it goes past the driver's parameters
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(copy_text(rows))
    except connection.dialect.loaded_dbapi.Error as error:
        raise sa.exc.DBAPIError(statement, None, error) from error


def _load_data(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    if not _allows_files(connection):
        _execute_many(connection, table, rows)
        return
    name, columns = _quoted(connection, table, rows)
    with tempfile.NamedTemporaryFile() as file:
        file.write(copy_text(rows))
        file.flush()
        statement = f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE {name} CHARACTER SET utf8mb4 ({columns})"
        loaded = connection.exec_driver_sql(statement).rowcount
    changed = connection.exec_driver_sql("SHOW WARNINGS").all()  # LOCAL makes warnings of what is an error elsewhere
    if changed or loaded != rows.num_rows:
        told = changed[0][2] if changed else f"{loaded} of {rows.num_rows} rows were taken"
        shown = connection.engine.url.render_as_string(hide_password=True)
        raise StorageError(f"database {shown}: table {table.name}: {told}; nothing was written")


def _allows_files(connection: sa.Connection) -> bool:
    """Whether both ends let LOAD DATA LOCAL read a file of this machine."""
    here = str(connection.engine.url.query.get("local_infile", "1")).lower() not in ("0", "false", "no", "off")
    return here and bool(connection.exec_driver_sql("SELECT @@local_infile").scalar_one())


def _execute_many(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    columns = {name: _plain(rows.column(name)).to_pylist() for name in rows.column_names}
    statement = sa.insert(table).compile(dialect=connection.dialect, column_keys=list(columns))
    names = statement.positiontup if statement.positional else list(columns)
    values: Any = zip(*(columns[name] for name in names or ()), strict=True)
    if not statement.positional:
        values = (dict(zip(columns, row, strict=True)) for row in values)
    # Past SQLAlchemy's per-row processing, which costs more than SQLite itself; the values have their final types.
    connection.exec_driver_sql(str(statement), list(values))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Moments as the text that databases take them from, and SQLite keeps."""
    return column.cast(pa.string()) if pa.types.is_timestamp(column.type) else column


def copy_text(rows: pa.Table) -> bytes:
    """Return rows as the text that PostgreSQL's COPY and MySQL's LOAD DATA read without options, in UTF-8.

    Columns are parted by tabs and rows end in a line feed, a backslash escapes, and \\N is null.
    """
    lines = pc.binary_join_element_wise(*(_texts(column) for column in rows.columns), "\t")
    return "".join(f"{line}\n" for line in lines.to_pylist()).encode()


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    texts = column.cast(pa.string())
    if pa.types.is_string(column.type):
        for character, escaped in ESCAPES:
            texts = pc.replace_substring(texts, character, escaped)
    return pc.fill_null(texts, NULL)


def _quoted(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> tuple[str, str]:
    """The names of the table and of the columns of `rows`, as SQL."""
    preparer = connection.dialect.identifier_preparer
    return preparer.format_table(table), ", ".join(preparer.quote(name) for name in rows.column_names)
