"""The database: opened with its schema up to date, read and written, and its failures told in one line."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import TINYINT
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from infra.database.engines import BUSY_TIMEOUT_S, create_engine
from infra.database.schema import upgrade_schema
from infra.settings import Settings
from schemas.errors import ConfigError, StorageError
from schemas.names import nearest

WRITE_LOCK = 0x657273  # "ers": PostgreSQL's advisory locks have numbers
MYSQL_LOCK = "CONCAT('ers:', MD5(DATABASE()))"  # MySQL's have names, which all databases of a server share
REMEDIES = {
    "locked": "another process is writing: wait for it, or end it",
    "lock timeout": "another process is writing: wait for it, or end it",
    "not a database": "DB_URL names a file that is something else: choose another, or move it away",
    "malformed": "the file is damaged: restore a copy",
    "full": "free space on the disk",
    "No space left": "free space on the disk",
    "already exists": "the tables were made by something else: use an empty database",
    "Access denied for user": "check the user and the password in DB_URL or DB_USER and DB_PASSWORD",
    "authentication failed": "check the user and the password in DB_URL or DB_USER and DB_PASSWORD",
    "Unknown database": "create the database, or check its name",
    "does not exist": "create it, or check the name",
    "Can't connect": "check host and port, and that the server runs",
    "resolve host": "check host and port, and that the server runs",
    "connection failed": "check host and port, and that the server runs",
    "Lost connection": "the server went away: see its log, then run this again",
    "closed the connection": "the server went away: see its log, then run this again",
    "connection is lost": "the server went away: see its log, then run this again",
    "terminating connection": "the server went away: see its log, then run this again",
    "permission denied": "give the user the right to it",
    "command denied": "give the user the right to it",
}


def open_database(settings: Settings) -> sa.Engine:
    """Return an engine on the database of `settings`, its schema up to date; a folder for an SQLite file is made.

    Any number of processes may start at once: one upgrades, the others wait. SQLite runs in WAL mode, so readers and
    one writer do not block each other. SQLite, MariaDB and PostgreSQL are what is tested.

    Raises:
        ConfigError: the settings give no address, or one that no driver here can reach.
        StorageError: the database cannot be opened, or its schema is newer than this program.
    """
    url = settings.database_url
    with storage_errors(url):
        engine = create_engine(url)
        try:
            upgrade_schema(engine, writing)
        except BaseException:
            engine.dispose()
            raise
    return engine


def database_kind(engine: sa.Engine) -> str:
    """Return "sqlite", "mysql", "mariadb" or "postgresql"; MySQL and MariaDB are known apart once connected."""
    return "mariadb" if getattr(engine.dialect, "is_mariadb", False) else engine.dialect.name


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection in a transaction that holds the write lock from its start; commit at the end.

    Writers of this program wait for each other, up to `BUSY_TIMEOUT_S`, so that what one has read still holds when it
    writes. An exception rolls back.

    Raises:
        StorageError: another writer goes on for too long, the disk is full, or the database fails otherwise.
    """
    with storage_errors(engine.url), engine.connect() as connection:
        # SQLite refuses at once, whatever the timeout, to turn a transaction that has read into one that writes.
        connection = connection.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        try:
            with connection.begin():
                _lock(connection)
                yield connection
        finally:
            _unlock(connection)


def _lock(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_TIMEOUT_S}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")
    elif connection.dialect.name == "mysql":
        locked = connection.exec_driver_sql(f"SELECT GET_LOCK({MYSQL_LOCK}, {BUSY_TIMEOUT_S})").scalar_one()
        if locked != 1:
            raise sa.exc.OperationalError("GET_LOCK", None, Exception("the database is locked"))


def _unlock(connection: sa.Connection) -> None:
    """Free the lock that MySQL ties to the connection rather than to the transaction; a broken one has freed it."""
    if connection.dialect.name == "mysql" and not connection.invalidated:
        with suppress(SQLAlchemyError):
            connection.exec_driver_sql(f"SELECT RELEASE_LOCK({MYSQL_LOCK})")


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection whose queries all see the same moment of the database, whatever is written meanwhile.

    Raises:
        StorageError: the database fails.
    """
    with storage_errors(engine.url), engine.connect() as connection:
        if connection.dialect.name != "sqlite":  # which always reads a snapshot
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


def reflected_table(connection: sa.Connection, name: str) -> sa.Table:
    """Return the table or view `name` as the database has it, columns that users added included.

    Raises:
        ConfigError: there is none; the message offers the nearest names.
    """
    inspector = sa.inspect(connection)
    known = [*inspector.get_table_names(), *inspector.get_view_names()]
    if name not in known:
        shown = connection.engine.url.render_as_string(hide_password=True)
        raise ConfigError(f"table {name!r} is not in the database {shown}{nearest(name, known)}")
    return sa.Table(name, sa.MetaData(), autoload_with=connection, listeners=[("column_reflect", _plain_type)])


def _plain_type(inspector: sa.Inspector, _table: object, column: Any) -> None:
    """MySQL has TINYINT(1) for BOOLEAN, and gives DOUBLE as decimals unless told, and names as they are quoted."""
    if inspector.dialect.name == "mysql":
        column["name"] = column["name"].replace("``", "`")
    if isinstance(column["type"], TINYINT) and column["type"].display_width == 1:
        column["type"] = sa.Boolean()
    elif isinstance(column["type"], sa.Double):
        column["type"] = sa.Double()


@contextmanager
def storage_errors(url: sa.URL) -> Iterator[None]:
    """Turn the errors of SQLAlchemy and of the file system into a StorageError of one line that names the database."""
    shown = url.render_as_string(hide_password=True)
    try:
        yield
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(f"DB_URL {shown}: no driver for it is installed ({error})") from error
    except (SQLAlchemyError, OSError) as error:
        raise storage_error(url, getattr(error, "orig", None) or error) from error


def storage_error(url: sa.URL, error: object) -> StorageError:
    """Return `error` as one line that names the database and a remedy, without its password."""
    shown = url.render_as_string(hide_password=True)
    reason = " ".join(str(error).split())
    if url.password:
        reason = reason.replace(url.password, "***")
    remedy = next((remedy for sign, remedy in REMEDIES.items() if sign in reason), "check DB_URL and its permissions")
    return StorageError(f"database {shown}: {reason}; {remedy}")
