"""The trail of a registered model: who put what into Production, when and why; and where a rollback goes to."""

from typing import Any

import sqlalchemy as sa

from infra.database.connection import storage_errors
from schemas.tables import rl_model_events
from tasks.registry import sql_side


def trail(engine: sa.Engine, name: str | None, version: int | None, limit: int) -> list[dict[str, Any]]:
    """Return the newest events, oldest first, as JSON; the models in them are left out.

    Args:
        engine: the database with `rl_model_events`.
        name: of one registered model; None = of all.
        version: of one version; None = of all.
        limit: how many events at most.

    Raises:
        StorageError: the database failed.
    """
    events = rl_model_events.c
    query = sa.select(rl_model_events).order_by(events.id.desc()).limit(limit)
    if name is not None:
        query = query.where(events.registered_name == name)
    if version is not None:
        query = query.where(events.version == version)
    with storage_errors(engine.url), engine.connect() as connection:
        found = connection.execute(query).all()
    return [_told(row) for row in reversed(found)]


def _told(row: sa.Row[Any]) -> dict[str, Any]:
    evidence = {key: value for key, value in (row.evidence or {}).items() if key != "row"}
    return {
        "at": row.created_at.isoformat(),
        "name": row.registered_name,
        "version": row.version,
        "event": row.event,
        "from_stage": row.from_stage,
        "to_stage": row.to_stage,
        "actor": row.actor,
        "reason": row.reason,
        "run_id": row.mlflow_run_id,
        "evidence": evidence or None,
    }


def former_champions(engine: sa.Engine, name: str) -> list[int]:
    """Return the versions that were in Production, oldest first, the present or last one at the end.

    A rollback takes the versions back that it undid; versions that were removed are left out.
    """
    events = rl_model_events.c
    kinds = (sql_side.PROMOTED, sql_side.ROLLED_BACK, sql_side.REMOVED)
    query = sa.select(events.event, events.version).where(events.registered_name == name, events.event.in_(kinds))
    champions: list[int] = []
    with storage_errors(engine.url), engine.connect() as connection:
        for event, version in connection.execute(query.order_by(events.id)):
            champions = champions_after(champions, event, version)
    return champions


def champions_after(champions: list[int], event: str, version: int) -> list[int]:
    """Return the versions that were in Production, as `former_champions` has them, after one more event."""
    if event == sql_side.REMOVED:
        kept = [one for one in champions if one != version]
        return [one for one, before in zip(kept, [None, *kept], strict=False) if one != before]
    if event == sql_side.ROLLED_BACK and version in champions:
        last = len(champions) - 1 - champions[::-1].index(version)
        return champions[: last + 1]
    return champions if champions[-1:] == [version] else [*champions, version]
