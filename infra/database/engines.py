"""SQLAlchemy engines: how each database is connected to."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

BUSY_TIMEOUT_S = 60.0  # longer than recording a few million rows in one transaction holds the lock
CONNECT_TIMEOUT_S = 10
WAL_RETRY_S = 0.02
WAL_LIMIT_BYTES = 64 * 2**20
SQLITE_PRAGMAS = (
    "synchronous = NORMAL",  # with WAL a power cut may lose the last commits, never the integrity
    f"journal_size_limit = {WAL_LIMIT_BYTES}",
    "cache_size = -65536",  # KiB, 64 MiB
)


def create_engine(url: sa.URL) -> sa.Engine:
    """Return an engine on `url`, of which nothing is connected yet; the folder of an SQLite file is made.

    Text is UTF-8. MySQL tells TIMESTAMPs in UTC, and what it would cut off is an error.
    """
    return _ENGINES.get(url.get_backend_name(), sa.create_engine)(url)


def _sqlite(url: sa.URL) -> sa.Engine:
    if url.database and not url.database.startswith((":", "file:")):
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own BEGIN leaves schema changes outside of the transaction: SQLAlchemy's event begins it instead.
    connection.isolation_level = None
    _use_wal(connection)
    for pragma in SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()


def _use_wal(connection: Any) -> None:
    """Several that open a new file at once lock each other out, for which SQLite does not wait by itself."""
    deadline_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline_s:
                raise
            time.sleep(WAL_RETRY_S)


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def _mysql(url: sa.URL) -> sa.Engine:
    options = {
        "charset": "utf8mb4",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "local_infile": True,  # for bulk loads; the server must allow it too
        "init_command": "SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    }
    given = {name: value for name, value in options.items() if name not in url.query}
    return sa.create_engine(url, pool_pre_ping=True, connect_args=given)


def _postgresql(url: sa.URL) -> sa.Engine:
    options = {"connect_timeout": CONNECT_TIMEOUT_S, "client_encoding": "utf8"}
    given = {name: value for name, value in options.items() if name not in url.query}
    return sa.create_engine(url, pool_pre_ping=True, connect_args=given)


_ENGINES = {"sqlite": _sqlite, "mysql": _mysql, "postgresql": _postgresql}
