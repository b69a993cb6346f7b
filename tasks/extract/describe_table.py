"""Discovery: what the columns of a table hold, and which of them can be learned from."""

import math
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from infra.database.connection import reading, reflected_table
from tasks.extract.feature_columns import feature_use, readable_features
from tasks.extract.read import NEEDED, RowQuery, read_rows

JUDGED_ROWS = 100_000  # the newest, by which it is told what can be a feature; aggregates are of all rows
ORDERED = (sa.Numeric, sa.Integer, sa.Boolean, sa.Date, sa.DateTime, sa.Time)


def describe_columns(engine: sa.Engine, table_name: str) -> dict[str, Any]:
    """Return what each column of a table holds, as JSON.

    Aggregates are computed by the database: no text is read but the beginnings of those in the newest rows.

    Args:
        engine: the database.
        table_name: a table of it.

    Raises:
        ConfigError: there is no such table.
        TraceError: a column of numbers holds something else, which SQLite allows.
        StorageError: the database failed.
    """
    with reading(engine) as connection:
        table = reflected_table(connection, table_name)
        row = connection.execute(sa.select(sa.func.count().label("rows"), *_aggregates(table))).one()
    found = dict(row._mapping)
    rows = int(found["rows"])
    uses, judged = _uses(engine, table, rows)
    described = [_described(place, column, found) for place, column in enumerate(table.columns)]
    return {
        "table": table.name,
        "rows": rows,
        "judged_rows": judged,
        "columns": [{**column, **uses.get(column["name"], {})} for column in described],
    }


def _aggregates(table: sa.Table) -> Iterator[sa.ColumnElement[Any]]:
    """Yield what is asked of each column, labelled by its place: known values, and the range or how many differ."""
    for place, column in enumerate(table.columns):
        yield sa.func.count(column).label(f"known_{place}")
        if isinstance(column.type, ORDERED):
            is_boolean = isinstance(column.type, sa.Boolean)
            # As the driver gives it: SQLite holds whatever it is given, which SQLAlchemy may fail to convert.
            value = sa.cast(column, sa.Integer) if is_boolean else sa.type_coerce(column, sa.String())
            yield sa.func.min(value).label(f"min_{place}")
            yield sa.func.max(value).label(f"max_{place}")
        elif isinstance(column.type, sa.String):
            yield sa.func.count(column.distinct()).label(f"different_{place}")


def _described(place: int, column: sa.Column[Any], found: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": str(column.type).partition(" COLLATE")[0],
        "null_share": 1 - found[f"known_{place}"] / found["rows"] if found["rows"] else None,
        "min": _plain(found.get(f"min_{place}")),
        "max": _plain(found.get(f"max_{place}")),
        "different": found.get(f"different_{place}"),
    }


def _uses(engine: sa.Engine, table: sa.Table, rows: int) -> tuple[dict[str, dict[str, str]], int]:
    """How each column can be a feature, by column, and by how many rows that was judged; none without requests."""
    if not rows or not set(NEEDED) <= set(table.columns.keys()):
        return {}, 0
    newest = read_rows(
        engine, RowQuery(table=table.name, max_queries=JUDGED_ROWS, feature_columns=readable_features(table))
    )
    uses = feature_use(table, newest)
    return {name: {"feature": use, "why": why} for name, (use, why) in uses.items()}, len(newest)


def _plain(value: Any) -> Any:
    """The value as JSON has it; moments and what is not finite as text."""
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.isoformat() if isinstance(value, datetime | date | time) else value
