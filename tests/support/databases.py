"""Real databases for tests: SQLite files, and MariaDB and PostgreSQL servers that start when first asked for."""

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from benchmarks.servers import DatabaseServer, ServerMissingError, mariadb, postgresql
from infra.database.connection import writing
from infra.settings import Settings
from schemas.tables import cache_metrics, ingested_sources, key_hash

KINDS = ("sqlite", "mariadb", "postgresql")
on_each_database = pytest.mark.parametrize("database_kind", KINDS, indirect=True)
STARTERS = {"mariadb": mariadb, "postgresql": postgresql}


class Databases:
    """Gives each test an empty database of its own, on one server a kind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers = ExitStack()
        self._running: dict[str, DatabaseServer] = {}
        self._numbers = itertools.count()

    def server(self, kind: str) -> DatabaseServer:
        """The running server of a kind, see `started`."""
        if kind not in self._running:
            self._running[kind] = self._servers.enter_context(started(kind))
        return self._running[kind]

    def url(self, kind: str) -> sa.URL:
        """The address of a new database without tables."""
        name = f"test_{next(self._numbers)}"
        if kind == "sqlite":
            return sa.URL.create("sqlite", database=str(self._folder / f"{name}.db"))
        return self.server(kind).database(name)

    def settings(self, kind: str, home: Path) -> Settings:
        """Settings with a new database of a kind."""
        return Settings(_env_file=None, ers_home=home, db_url=self.url(kind).render_as_string(hide_password=False))

    def close(self) -> None:
        """Stop the servers."""
        self._servers.close()


@contextmanager
def started(kind: str) -> Iterator[DatabaseServer]:
    """A server that stops at the end; skips the test where it is not installed, fails it when ERS_REQUIRE_ALL=1."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(STARTERS[kind]())
        except ServerMissingError as error:
            (pytest.fail if os.environ.get("ERS_REQUIRE_ALL") == "1" else pytest.skip)(str(error))
        yield server


def add_column(engine: sa.Engine, name: str, sql_type: str) -> None:
    """Add a column to `cache_metrics`, as users do."""
    quoted = engine.dialect.identifier_preparer.quote_identifier(name)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE cache_metrics ADD COLUMN {quoted} {sql_type}")


def counts(engine: sa.Engine) -> list[int]:
    """Rows of `cache_metrics` and of `ingested_sources`."""
    with engine.connect() as connection:
        tables = (cache_metrics, ingested_sources)
        return [connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() for table in tables]


def insert_requests(engine: sa.Engine, rows: list[dict[str, Any]]) -> None:
    """Insert rows of `cache_metrics`, with the hashes of their keys."""
    with writing(engine) as connection:
        connection.execute(sa.insert(cache_metrics), [r | {"key_hash": key_hash(r["cache_key"])} for r in rows])
