"""Steps of migrations that a start which was cut off may have left behind, and the next one meets again.

MySQL and MariaDB commit each change of the schema by itself: a migration that ends half-way is not rolled back.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
TABLE_OPTIONS: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}


def create_table(name: str, *columns: Any) -> None:
    """Create a table; on MySQL in place of one that was left behind: with these columns, and empty."""
    connection = op.get_bind()
    if connection.dialect.name == "mysql":
        _drop_leftover(connection, name, {column.name for column in columns if isinstance(column, sa.Column)})
    op.create_table(name, *columns, **TABLE_OPTIONS)


def add_column(table: str, column: "sa.Column[Any]") -> None:
    """Add a column unless MySQL has it already."""
    connection = op.get_bind()
    present = {found["name"] for found in sa.inspect(connection).get_columns(table)}
    if connection.dialect.name != "mysql" or column.name not in present:
        op.add_column(table, column)


def _drop_leftover(connection: sa.Connection, name: str, columns: set[str]) -> None:
    inspector = sa.inspect(connection)
    if not inspector.has_table(name) or {column["name"] for column in inspector.get_columns(name)} != columns:
        return
    if connection.execute(sa.select(sa.literal(1)).select_from(sa.table(name)).limit(1)).first() is None:
        op.drop_table(name)
