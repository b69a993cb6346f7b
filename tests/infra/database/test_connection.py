"""The database opens on every start, in any number of processes, or says in one line why not."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

import infra.database.engines
from infra.database.connection import open_database, writing
from infra.settings import Settings
from schemas.errors import ConfigError, StorageError
from schemas.tables import ingested_sources, metadata, rl_models

REPOSITORY = Path(__file__).parents[3]
SOURCE = {"mapping": "{}", "name": "a", "kind": "csv", "rows": 1, "rejected_rows": 0, "skipped_rows": 0}


@pytest.fixture
def settings_of(tmp_path: Path) -> Callable[..., Settings]:
    def make(file_name: str = "home/ers.db", **values: object) -> Settings:
        return Settings(_env_file=None, **({"db_url": f"sqlite:///{tmp_path / file_name}"} | values))

    return make


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


def test_the_migrations_give_the_tables_that_the_code_describes(settings_of):
    engine = open_database(settings_of())
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_a_second_start_changes_nothing_and_keeps_the_rows(settings_of):
    engine = open_database(settings_of())
    with writing(engine) as connection:
        add(connection, "x")
    engine.dispose()
    again = open_database(settings_of())
    with again.connect() as connection:
        assert connection.execute(sa.select(ingested_sources.c.sha256)).scalars().all() == ["x"]
    again.dispose()


def test_processes_that_start_at_once_make_one_schema(tmp_path):
    program = "import sys; from infra.database.connection import open_database; from infra.settings import Settings\n"
    program += "open_database(Settings(_env_file=None, db_url=sys.argv[1])).dispose()"
    command = [sys.executable, "-c", program, f"sqlite:///{tmp_path / 'home' / 'ers.db'}"]
    starts = [subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    errors = [process.communicate(timeout=120)[1] for process in starts]
    assert [process.returncode for process in starts] == [0] * len(starts), errors
    with sqlite3.connect(tmp_path / "home" / "ers.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0004",)]
    connection.close()


def test_a_schema_newer_than_the_program_is_refused_and_left_alone(settings_of, tmp_path):
    open_database(settings_of()).dispose()
    with sqlite3.connect(tmp_path / "home" / "ers.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StorageError, match=r"schema 9999 is newer than this program, which knows up to 0004") as caught:
        open_database(settings_of())
    one_line(caught.value)


def test_a_migration_that_fails_leaves_no_table_behind(settings_of, tmp_path):
    path = tmp_path / "ers.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE rl_models (id INTEGER)")  # the third table of the first migration
    connection.close()
    with pytest.raises(StorageError, match=r"already exists; the tables were made by something else"):
        open_database(settings_of("ers.db"))
    with sqlite3.connect(path) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    assert tables == [("rl_models",)]


def test_sqlite_runs_in_wal_mode_with_a_busy_timeout(settings_of):
    engine = open_database(settings_of())
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        timeout_ms = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    engine.dispose()
    assert timeout_ms == infra.database.engines.BUSY_TIMEOUT_S * 1000


def test_a_file_that_is_no_database_is_one_clear_line(settings_of, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("Dear diary, " * 1000)
    with pytest.raises(StorageError, match="not a database; DB_URL names a file that is something else") as caught:
        open_database(settings_of("notes.txt"))
    assert "notes.txt" in one_line(caught.value)
    assert path.read_text().startswith("Dear diary")


def test_a_folder_that_cannot_be_made_is_one_clear_line(settings_of, tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="home"):
        open_database(settings_of())


def test_a_locked_database_is_one_clear_line(settings_of, tmp_path, monkeypatch):
    monkeypatch.setattr(infra.database.engines, "BUSY_TIMEOUT_S", 0.1)
    engine = open_database(settings_of())
    other = sqlite3.connect(tmp_path / "home" / "ers.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="database is locked; another process is writing"), writing(engine):
        pass
    other.close()
    engine.dispose()


def add(connection: sa.Connection, sha256: object) -> None:
    connection.execute(sa.insert(ingested_sources).values(sha256=str(sha256), **SOURCE))


def test_an_exception_inside_writing_rolls_everything_back(settings_of):
    engine = open_database(settings_of())

    def write_and_fail() -> None:
        with writing(engine) as connection:
            add(connection, "x")
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    with engine.connect() as connection:
        assert connection.execute(sa.select(ingested_sources)).all() == []
    engine.dispose()


def test_writers_that_read_before_they_write_wait_for_each_other(settings_of):
    """Without the lock from the start, SQLite refuses at once a reader that turns writer behind another's commit."""
    engine = open_database(settings_of())

    def add_many(_writer: int) -> None:
        for _ in range(20):
            with writing(engine) as connection:
                count = connection.execute(sa.select(sa.func.count()).select_from(ingested_sources)).scalar_one()
                add(connection, count)  # unique: two writers that saw the same count would collide

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_many, range(4)))
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(ingested_sources)).scalar_one() == 80
    engine.dispose()


@pytest.mark.parametrize("url", ["nonsense", "oracle+nothing://host/db"])
def test_a_url_that_cannot_be_used_is_a_config_error_without_the_password(url, settings_of):
    with pytest.raises(ConfigError, match="DB_URL") as caught:
        open_database(settings_of(db_url=url))
    one_line(caught.value)


def test_errors_never_show_the_password(settings_of):
    with pytest.raises(ConfigError) as caught:
        open_database(settings_of(db_url="oracle+nothing://me:hunter2@host/db"))
    assert "hunter2" not in str(caught.value)


def test_a_full_disk_is_told_as_such(settings_of):
    engine = open_database(settings_of())

    def fill() -> None:
        with writing(engine) as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
            for number in range(1000):
                add(connection, number)

    with pytest.raises(StorageError, match="full; free space on the disk"):
        fill()
    engine.dispose()


def test_a_migration_down_and_up_again_keeps_the_rows_of_older_tables(settings_of):
    engine = open_database(settings_of())
    with writing(engine) as connection:
        add(connection, "x")
        connection.execute(sa.insert(rl_models).values(registered_name="m", version=1, mlflow_run_id="r"))
    scripts = Config()
    scripts.set_main_option("script_location", str(Path(infra.database.connection.__file__).parent / "migrations"))
    with writing(engine) as connection:
        scripts.attributes["connection"] = connection
        command.downgrade(scripts, "0001")
        assert "cache_metrics_quarantine" not in sa.inspect(connection).get_table_names()
        assert "data_profile" not in {column["name"] for column in sa.inspect(connection).get_columns("rl_models")}
    engine.dispose()
    again = open_database(settings_of())
    with again.connect() as connection:
        assert connection.execute(sa.select(ingested_sources.c.sha256)).scalars().all() == ["x"]
        found = connection.execute(sa.select(rl_models.c.mlflow_run_id, rl_models.c.data_profile)).one()
    assert tuple(found) == ("r", None)
    again.dispose()
