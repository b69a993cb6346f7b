"""The database: opened, upgraded to the present schema, and its failures told in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from infra.settings import Settings
from schemas.errors import ConfigError, StorageError

BUSY_TIMEOUT_S = 60.0  # longer than recording a few million rows in one transaction holds the lock
WAL_LIMIT_BYTES = 64 * 2**20


def open_database(settings: Settings) -> sa.Engine:
    """Return an engine on the database of `settings`, its folder made and its schema up to date.

    Any number of processes may start at once: one upgrades, the others wait. SQLite runs in WAL mode, so readers and
    one writer do not block each other; a second writer waits up to `BUSY_TIMEOUT_S`. SQLite is what is tested.

    Raises:
        ConfigError: DB_URL is no URL, or names a database that no driver here can reach.
        StorageError: the database cannot be opened, or its schema is newer than this program.
    """
    url = settings.database_url
    with storage_errors(url):
        engine = _create_engine(url)
        try:
            _upgrade(engine)
        except BaseException:
            engine.dispose()
            raise
    return engine


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection in a transaction that holds the write lock from its start; commit at the end.

    SQLite refuses at once, whatever the timeout, to turn a transaction that has read into one that writes when
    another process wrote in between; taking the lock first waits instead. An exception rolls back.

    Raises:
        StorageError: the database stays locked, is full, or fails otherwise.
    """
    with storage_errors(engine.url), engine.connect() as connection:
        connection = connection.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        with connection.begin():
            yield connection


@contextmanager
def storage_errors(url: sa.URL) -> Iterator[None]:
    """Turn the errors of SQLAlchemy and of the file system into a StorageError of one line that names the database."""
    shown = url.render_as_string(hide_password=True)
    try:
        yield
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(f"DB_URL {shown}: no driver for it is installed ({error})") from error
    except (SQLAlchemyError, OSError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        raise StorageError(f"database {shown}: {reason}; {_remedy(reason)}") from error


def _remedy(reason: str) -> str:
    remedies = {
        "locked": "another process is writing: wait for it, or end it",
        "not a database": "DB_URL names a file that is something else: choose another, or move it away",
        "malformed": "the file is damaged: restore a copy",
        "full": "free space on the disk",
        "already exists": "the tables were made by something else: use an empty database",
    }
    return next((remedy for sign, remedy in remedies.items() if sign in reason), "check DB_URL and its permissions")


def _create_engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True)
    if url.database and not url.database.startswith((":", "file:")):
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own BEGIN leaves schema changes outside of the transaction: SQLAlchemy's event begins it instead.
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        "synchronous = NORMAL",  # with WAL a power cut may lose the last commits, never the integrity
        f"journal_size_limit = {WAL_LIMIT_BYTES}",
        "cache_size = -65536",  # KiB, 64 MiB
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def _upgrade(engine: sa.Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        if _is_current(connection, scripts):
            return
    with writing(engine) as connection:
        if not _is_current(connection, scripts):  # another process may have been first
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _is_current(connection: sa.Connection, scripts: ScriptDirectory) -> bool:
    present = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if present is not None and present not in known:
        shown = connection.engine.url.render_as_string(hide_password=True)
        raise StorageError(
            f"database {shown}: its schema {present} is newer than this program, which knows up to "
            f"{scripts.get_current_head()}; update the program"
        )
    return present == scripts.get_current_head()
