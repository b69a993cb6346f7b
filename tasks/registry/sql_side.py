"""The mirror of the registry in SQL: `rl_models`, one row a version, and `rl_model_events`, its history.

Functions that take a connection are part of the caller's transaction, so that a row changes together with its event.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from infra.database.connection import storage_errors, writing
from schemas.tables import UtcDateTime, rl_model_events, rl_models
from tasks.registry.jsonable import jsonable
from tasks.tracking.run_info import user_name

INTENDED, REGISTERED, ABANDONED = "intended", "registered", "abandoned"
MOVING, PROMOTED, ROLLED_BACK, ARCHIVED, NOT_MOVED = "moving", "promoted", "rolled back", "archived", "not moved"
REFUSED, CHANGED, RESTORED, REMOVED = "refused", "changed", "restored", "removed"
EXTERNAL = "external"  # actor of what was done by hand in MLflow


@dataclass(frozen=True)
class Version:
    """A registered version, as `rl_models` has it."""

    name: str
    version: int
    run_id: str
    stage: str
    aliases: tuple[str, ...]
    algorithm: str
    decision: str
    bundle_sha256: str

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"{self.name} version {self.version}"


def actor() -> str:
    """Return who is at work, as `user@host`."""
    return f"{user_name()}@{socket.gethostname()}"


# --- rows ---


def read_versions(engine: sa.Engine, name: str | None = None) -> list[Version]:
    """Return the versions of one registered model, or of all, by name and number."""
    with storage_errors(engine.url), engine.connect() as connection:
        return versions_in(connection, name)


def versions_in(connection: sa.Connection, name: str | None = None) -> list[Version]:
    """Return what `read_versions` does, in a transaction."""
    c = rl_models.c
    columns = (c.registered_name, c.version, c.mlflow_run_id, c.stage, c.aliases, c.algorithm, c.decision)
    query = sa.select(*columns, c.bundle_sha256).order_by(c.registered_name, c.version)
    if name is not None:
        query = query.where(c.registered_name == name)
    return [
        Version(row[0], row[1], row[2], row[3], tuple(row[4] or ()), row[5] or "", row[6] or "", row[7] or "")
        for row in connection.execute(query)
    ]


def insert_version(connection: sa.Connection, row: Mapping[str, Any], version: int) -> None:
    """Insert a row of `rl_models` that JSON held; another run's row under the same number goes first.

    MLflow numbers anew when a registered model was deleted whole.
    """
    name = row["registered_name"]
    for old in versions_in(connection, name):
        if old.version == version:
            delete_version(connection, old, "its registered model was deleted in MLflow, and its number given anew")
    moments = {c.name for c in rl_models.columns if isinstance(c.type, UtcDateTime)}
    values = {k: datetime.fromisoformat(v) if k in moments and v else v for k, v in row.items()}
    connection.execute(sa.insert(rl_models).values(**values, version=version))


def delete_version(connection: sa.Connection, version: Version, reason: str) -> None:
    """Delete a row, unless another process has; its event keeps all that it held."""
    its_row = rl_models.c.mlflow_run_id == version.run_id
    row = connection.execute(sa.select(rl_models).where(its_row)).mappings().first()
    if row is None:
        return
    kept = {name: value for name, value in row.items() if name not in ("id", "version")}
    connection.execute(sa.delete(rl_models).where(its_row))
    told = {"from_stage": version.stage, "actor": EXTERNAL, "reason": reason, "evidence": {"row": jsonable(kept)}}
    connection.execute(event_of(version, REMOVED, **told))


def update_version(connection: sa.Connection, version: Version, stage: str, aliases: tuple[str, ...]) -> None:
    """Set stage and aliases of a row."""
    statement = sa.update(rl_models).where(rl_models.c.mlflow_run_id == version.run_id)
    connection.execute(statement.values(stage=stage, aliases=list(aliases)))


# --- events ---


def event(run_id: str, name: str, event: str, **values: Any) -> sa.Insert:
    """Return the statement that adds an event; `values` are its other columns, the actor by default this user."""
    return sa.insert(rl_model_events).values(
        mlflow_run_id=run_id, registered_name=name, event=event, **{"actor": actor(), **values}
    )


def event_of(version: Version, kind: str, **values: Any) -> sa.Insert:
    """Return the statement that adds an event of a version."""
    return event(version.run_id, version.name, kind, version=version.version, **values)


def record_event(engine: sa.Engine, statement: sa.Insert) -> None:
    """Add one event, in a transaction of its own."""
    with writing(engine) as connection:
        connection.execute(statement)


def last_events(connection: sa.Connection, kinds: tuple[str, ...], by: sa.Column[Any]) -> list[sa.Row[Any]]:
    """Return the newest event of the given kinds for each value of the column `by`, in the order they were written."""
    events = rl_model_events.c
    last = sa.select(sa.func.max(events.id)).where(events.event.in_(kinds)).group_by(by)
    return list(connection.execute(sa.select(rl_model_events).where(events.id.in_(last)).order_by(events.id)))


def open_intents(engine: sa.Engine) -> list[sa.Row[Any]]:
    """Return the intents to register that no later event of their run settles."""
    kinds = (INTENDED, REGISTERED, ABANDONED, RESTORED)
    with storage_errors(engine.url), engine.connect() as connection:
        found = last_events(connection, kinds, rl_model_events.c.mlflow_run_id)
    return [intent for intent in found if intent.event == INTENDED]


def open_moves(connection: sa.Connection, name: str | None = None) -> list[sa.Row[Any]]:
    """Return the intents to change a champion that no later event of their registered model settles."""
    kinds = (MOVING, PROMOTED, ROLLED_BACK, ARCHIVED, NOT_MOVED)
    found = last_events(connection, kinds, rl_model_events.c.registered_name)
    return [row for row in found if row.event == MOVING and name in (None, row.registered_name)]


def last_event(engine: sa.Engine, run_id: str) -> tuple[str, str]:
    """Return the newest event of a run, and its reason; empty where there is none."""
    events = rl_model_events.c
    query = sa.select(events.event, events.reason).where(events.mlflow_run_id == run_id).order_by(events.id.desc())
    with storage_errors(engine.url), engine.connect() as connection:
        found = connection.execute(query.limit(1)).first()
    return (found.event, found.reason or "") if found else ("", "")


def recorded_row(engine: sa.Engine, run_id: str) -> dict[str, Any] | None:
    """Return the row of a run that an event of it kept, newest first; None when none did."""
    events = rl_model_events.c
    query = sa.select(events.evidence).where(events.mlflow_run_id == run_id, events.event.in_((INTENDED, REMOVED)))
    with storage_errors(engine.url), engine.connect() as connection:
        kept = connection.execute(query.order_by(events.id.desc())).scalars().all()
    found: dict[str, Any] | None = next((evidence["row"] for evidence in kept if evidence), None)
    return found
