"""The schema of the database, brought up to date by Alembic's migrations."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from schemas.errors import StorageError

Writing = Callable[[sa.Engine], AbstractContextManager[sa.Connection]]


def upgrade_schema(engine: sa.Engine, writing: Writing) -> None:
    """Upgrade the schema of `engine` to the newest, one process at a time, unless it is.

    Args:
        engine: of a database that may be empty.
        writing: opens a transaction that holds the write lock.

    Raises:
        StorageError: the schema is newer than this program.
    """
    scripts = ScriptDirectory.from_config(_config())
    with engine.connect() as connection:
        if _is_current(connection, scripts):
            return
    with writing(engine) as connection:
        if not _is_current(connection, scripts):  # another process may have been first
            migrate(connection, "head")


def migrate(connection: sa.Connection, revision: str) -> None:
    """Bring the schema up, or down, to `revision`, "head", "base" or e.g. "0001", on `connection`."""
    config = _config()
    config.attributes["connection"] = connection
    order = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]  # newest first
    present = MigrationContext.configure(connection).get_current_revision()
    goes_down = revision == "base" or (revision in order and present in order[: order.index(revision)])
    (command.downgrade if goes_down else command.upgrade)(config, revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


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
