"""Alembic's entry: run the migrations on the connection that `infra.database.connection` hands over."""

from alembic import context

from schemas import energy_tables  # noqa: F401 - its tables belong to the same metadata
from schemas.tables import metadata


def run_migrations() -> None:
    """Run them inside the transaction of the caller's connection."""
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    context.run_migrations()


run_migrations()
