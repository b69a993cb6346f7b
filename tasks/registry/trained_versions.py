"""What the registry knows of the versions of a model that says whether to watch, judge or train one."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from infra.database.connection import storage_errors
from schemas.tables import rl_model_events, rl_models
from tasks.extract.read import Watermark
from tasks.registry import sql_side
from tasks.registry.mlflow_side import PRODUCTION, model_name

VERDICTS = (sql_side.REFUSED, sql_side.MOVING, sql_side.PROMOTED, sql_side.ROLLED_BACK, sql_side.ARCHIVED)


@dataclass(frozen=True)
class TrainedVersion:
    """A version, and what it was made from.

    Attributes:
        name, version, stage: of the registered model.
        table: its requests are from.
        watermark: up to where they were read; None = unknown, an earlier release registered it.
        trained_at: when.
        cache_size, cache_bytes: the capacity in objects or in bytes; the other one is None.
        awaits_judgement: whether it is a challenger of which nobody has decided anything.
        since: when the last decision on it was made; None = none was.
    """

    name: str
    version: int
    stage: str
    table: str
    watermark: Watermark | None
    trained_at: datetime
    cache_size: int | None
    cache_bytes: int | None
    awaits_judgement: bool
    since: datetime | None

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"{self.name} version {self.version}"


def trained_versions(engine: sa.Engine, decision: str) -> list[TrainedVersion]:
    """Return the versions of the registered model for a decision, by number; StorageError when the database fails."""
    c = rl_models.c
    of_data = (c.table_name, c.data_watermark, c.cache_size, c.cache_bytes)
    columns = (c.mlflow_run_id, c.version, c.stage, c.challenger, *of_data)
    name = model_name(decision)
    query = sa.select(*columns, sa.func.coalesce(c.trained_at, c.created_at).label("trained_at"))
    with storage_errors(engine.url), engine.connect() as connection:
        rows = connection.execute(query.where(c.registered_name == name).order_by(c.version)).all()
        verdicts = {event.mlflow_run_id: event for event in _verdicts(connection, name)}
    return [
        TrainedVersion(
            name=name,
            version=row.version,
            stage=row.stage,
            table=row.table_name or "",
            watermark=Watermark.parse(row.data_watermark) if row.data_watermark else None,
            trained_at=row.trained_at,
            cache_size=row.cache_size,
            cache_bytes=row.cache_bytes,
            awaits_judgement=bool(row.challenger) and row.mlflow_run_id not in verdicts,
            since=verdicts[row.mlflow_run_id].created_at if row.mlflow_run_id in verdicts else None,
        )
        for row in rows
    ]


def in_production(versions: list[TrainedVersion]) -> TrainedVersion | None:
    """Return the champion."""
    return next((version for version in versions if version.stage == PRODUCTION), None)


def newest_of(versions: list[TrainedVersion], table: str) -> TrainedVersion | None:
    """Return the version that was trained last on requests of a table."""
    return next((version for version in reversed(versions) if version.table == table), None)


def _verdicts(connection: sa.Connection, name: str) -> list[sa.Row[tuple[object, ...]]]:
    """Return the decisions on the versions of a model, the latest one last."""
    events = rl_model_events.c
    query = sa.select(events.mlflow_run_id, events.created_at)
    query = query.where(events.registered_name == name, events.event.in_(VERDICTS))
    return list(connection.execute(query.order_by(events.id)))
