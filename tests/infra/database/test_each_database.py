"""The schema on each database: made once, up and down with the data kept, and whole after a start that was killed."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from infra.database.connection import database_kind, open_database, writing
from infra.database.schema import migrate
from infra.settings import Settings
from schemas import energy_tables
from schemas.errors import StorageError
from schemas.tables import cache_metrics, ingested_sources, metadata, rl_model_events, rl_models
from tests.support.databases import KINDS, Databases

REPOSITORY = Path(__file__).parents[3]
SOURCE = {"sha256": "x", "mapping": "{}", "name": "a", "kind": "csv", "rows": 1, "rejected_rows": 0, "skipped_rows": 0}
REQUEST = {"timestamp": 1, "cache_name": "a", "cache_key": "k", "key_hash": -(2**63)}
MODEL = {
    "registered_name": "m",
    "version": 1,
    "mlflow_run_id": "r",
    "metrics": {"hit_ratio": 0.1, "名": [None]},
    "model_base64": "A" * 100_000,
}
EVENT = {"mlflow_run_id": "r", "registered_name": "m", "event": "registered"}
KILLED = """
import os, signal, sys
import sqlalchemy as sa
from infra.database.connection import open_database
from infra.settings import Settings

created = []

@sa.event.listens_for(sa.Engine, "after_cursor_execute")
def kill_after_some(_connection, _cursor, statement, *_rest):
    if "CREATE TABLE" in statement:
        created.append(statement)
    if len(created) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

open_database(Settings(_env_file=None, db_url=sys.argv[1]))
"""
pytestmark = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def settings(kind: str, databases: Databases, tmp_path: Path) -> Settings:
    return databases.settings(kind, tmp_path)


def fill(connection: sa.Connection) -> None:
    for table, row in (
        (ingested_sources, SOURCE),
        (cache_metrics, REQUEST),
        (rl_models, MODEL),
        (rl_model_events, EVENT),
    ):
        connection.execute(sa.insert(table).values(row))


def test_the_migrations_give_the_tables_that_the_code_describes(settings, kind):
    engine = open_database(settings)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert set(sa.inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}
        assert energy_tables.production.name in metadata.tables
        assert compare_metadata(context, metadata) == []
    assert database_kind(engine) == kind
    engine.dispose()


def test_going_down_and_up_keeps_the_rows(settings):
    engine = open_database(settings)
    with writing(engine) as connection:
        fill(connection)
    for revision in ("0001", "0002", "0001", "head"):
        with writing(engine) as connection:
            migrate(connection, revision)
    with engine.connect() as connection:
        assert connection.execute(sa.select(cache_metrics.c.key_hash)).scalars().all() == [-(2**63)]
        model = connection.execute(sa.select(rl_models)).one()
        assert (model.metrics, model.model_base64) == (MODEL["metrics"], MODEL["model_base64"])
        assert connection.execute(sa.select(rl_model_events.c.created_at)).scalar_one().tzinfo is not None
    with writing(engine) as connection:
        migrate(connection, "base")
    with engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_starts_at_once_make_one_schema(settings):
    def start(_number: int) -> None:
        open_database(settings).dispose()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(start, range(6)))
    engine = open_database(settings)
    with engine.connect() as connection:
        versions = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
        assert len(versions) == 1
    engine.dispose()


@pytest.mark.parametrize("tables", [3, 6])
def test_a_first_start_killed_half_way_is_completed_by_the_next(settings, tables):
    """MariaDB commits each table by itself: the third is of the first migration, the sixth of the second."""
    url = settings.database_url.render_as_string(hide_password=False)
    done = subprocess.run([sys.executable, "-c", KILLED, url, str(tables)], cwd=REPOSITORY)
    assert done.returncode == -signal.SIGKILL
    engine = open_database(settings)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    with writing(engine) as connection:
        fill(connection)
    engine.dispose()


def test_tables_made_by_something_else_are_refused_and_left_alone(settings):
    engine = sa.create_engine(settings.database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE rl_models (id INTEGER, mine INTEGER)")
    with pytest.raises(StorageError, match=r"already exists.*; the tables were made by something else"):
        open_database(settings)
    with engine.connect() as connection:
        assert {column["name"] for column in sa.inspect(connection).get_columns("rl_models")} == {"id", "mine"}
    engine.dispose()


def test_writers_that_read_before_they_write_wait_for_each_other(settings):
    engine = open_database(settings)

    def add_many(_writer: int) -> None:
        for _ in range(10):
            with writing(engine) as connection:
                count = connection.execute(sa.select(sa.func.count()).select_from(ingested_sources)).scalar_one()
                row = {**SOURCE, "sha256": str(count)}  # unique: two writers that saw the same count would collide
                connection.execute(sa.insert(ingested_sources).values(row))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_many, range(4)))
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(ingested_sources)).scalar_one() == 40
    engine.dispose()


def test_texts_are_told_apart_by_each_character(settings):
    """MySQL's usual collation would take an upper-case letter, or an accent, for the same."""
    engine = open_database(settings)
    with writing(engine) as connection:
        for sha256 in ("a", "A", "á"):
            connection.execute(sa.insert(ingested_sources).values({**SOURCE, "sha256": sha256}))
        found = connection.execute(sa.select(ingested_sources.c.id).where(ingested_sources.c.sha256 == "A")).all()
    assert len(found) == 1
    engine.dispose()
