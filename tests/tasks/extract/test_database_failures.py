"""A database that goes wrong is named without its password, nothing half-done shows, and a rerun completes."""

import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from benchmarks.servers import PASSWORD, DatabaseServer
from infra.database.connection import open_database
from infra.settings import Settings
from schemas.errors import StorageError
from schemas.options.train import IngestConfig
from tasks.extract.read import RowQuery, read_rows
from tasks.ingest.record import ingest_file
from tests.support.databases import counts, insert_requests, started

SERVERS = ("mariadb", "postgresql")


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"password": "hunter22"}, "check the user and the password"),
        ({"database": "no_such_database"}, "create .*check .* name"),
        ({"port": 1}, "check host and port, and that the server runs"),
        ({"host": "no-such-host.invalid"}, "check host and port, and that the server runs"),
    ],
)
def test_what_is_wrong_with_an_address_is_one_line_without_the_password(databases, caplog, kind, change, told):
    url = databases.server(kind).url.set(**change)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(StorageError, match=told) as caught:
        open_database(Settings(_env_file=None, db_url=url.render_as_string(hide_password=False)))
    assert "\n" not in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert str(url.password) not in shown
    assert "***" in str(caught.value)


def settings_of(server: DatabaseServer) -> Settings:
    return Settings(_env_file=None, db_url=server.url.render_as_string(hide_password=False))


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_killed_while_it_loads_leaves_nothing_and_a_rerun_completes(kind, parquet, caplog):
    path = parquet(timestamp=np.arange(140_000), key=np.arange(140_000) % 1000)
    config = IngestConfig(source=str(path))
    with started(kind) as server:
        engine = open_database(settings_of(server))

        def kill(done: int, _total: int | None) -> None:
            if done < 140_000:
                server.kill()

        with pytest.raises(StorageError, match=rf"database {engine.dialect.name}.*\*\*\*@127.0.0.1") as caught:
            ingest_file(engine, config, kill)
        assert PASSWORD not in "".join(traceback.format_exception(caught.value)) + caplog.text
        server.start()
        assert counts(engine) == [0, 0]
        assert ingest_file(engine, config).added_rows == 140_000
        assert counts(engine) == [140_000, 1]
        engine.dispose()


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_killed_while_it_is_read_is_named_and_a_rerun_completes(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "connectorx", None)
    monkeypatch.setattr("tasks.extract.fetch.FETCH_ROWS", 10)
    with started(kind) as server:
        engine = open_database(settings_of(server))
        rows = [{"timestamp": n, "cache_name": "a", "cache_key": f"{n:2000}"} for n in range(20_000)]
        insert_requests(engine, rows)
        as_array = __import__("tasks.extract.fetch", fromlist=["_array"])._array
        seen = []

        def kill_first(*arguments: Any) -> Any:
            seen.append(1)
            if len(seen) == 1:
                server.kill()
            return as_array(*arguments)

        monkeypatch.setattr("tasks.extract.fetch._array", kill_first)
        with pytest.raises(StorageError, match=rf"database {engine.dialect.name}.*the server went away"):
            read_rows(engine, RowQuery())
        server.start()
        assert len(read_rows(engine, RowQuery())) == len(rows)
        engine.dispose()


@pytest.fixture
def dropped(databases) -> Callable[[sa.Engine], None]:
    """Ends all connections to the database of an engine, as a firewall or an administrator does."""

    def drop(engine: sa.Engine) -> None:
        with sa.create_engine(engine.url, poolclass=sa.NullPool).connect() as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                return
            others = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            for (number,) in connection.exec_driver_sql(others).all():
                connection.exec_driver_sql(f"KILL {number}")

    return drop


@pytest.mark.parametrize("database_kind", SERVERS, indirect=True)
def test_a_connection_that_was_dropped_while_idle_is_not_noticed(engine, dropped):
    insert_requests(engine, [{"timestamp": 1, "cache_name": "a", "cache_key": "k"}])
    dropped(engine)
    assert len(read_rows(engine, RowQuery())) == 1


@pytest.mark.parametrize("database_kind", SERVERS, indirect=True)
def test_a_connection_dropped_while_it_loads_leaves_nothing_and_a_rerun_completes(engine, dropped, parquet):
    config = IngestConfig(source=str(parquet(timestamp=np.arange(140_000), key=np.arange(140_000) % 100)))

    def drop(done: int, _total: int | None) -> None:
        if done < 140_000:
            dropped(engine)

    with pytest.raises(StorageError, match="the server went away"):
        ingest_file(engine, config, drop)
    assert counts(engine) == [0, 0]
    assert ingest_file(engine, config).added_rows == 140_000
