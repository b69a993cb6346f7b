"""The two stores of the registry in a folder of their own."""

from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from infra.database.connection import open_database
from infra.settings import Settings
from schemas.tables import rl_model_events, rl_models
from tasks.registry.register import RegisteredModel, register
from tasks.registry.sql_side import INTENDED
from tasks.tracking.tracker import Tracker, open_tracker

NAME = "cache-policy-eviction"


def settings_of(home: Path) -> Settings:
    return Settings(
        _env_file=None,
        ers_home=home,
        db_url=f"sqlite:///{home}/ers.db",
        mlflow_tracking_uri=f"sqlite:///{home}/mlflow.db",
    )


class Stores:
    """Both stores under `home`, and what they hold."""

    def __init__(self, home: Path) -> None:
        self.engine = open_database(settings_of(home))
        self.tracker: Tracker = open_tracker(settings_of(home))

    def train(self) -> str:
        return self.tracker.start_run("a run", {"seed": 0}, {})

    def register(self, run_id: str, bundle: Path, **row: Any) -> RegisteredModel:
        return register(self.engine, self.tracker, run_id, bundle, {"timesteps": 5} | row)

    def rows(self) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [dict(r) for r in connection.execute(sa.select(rl_models).order_by(rl_models.c.id)).mappings()]

    def events(self) -> list[tuple[str, int | None]]:
        columns = (rl_model_events.c.event, rl_model_events.c.version)
        with self.engine.connect() as connection:
            return [tuple(r) for r in connection.execute(sa.select(*columns).order_by(rl_model_events.c.id))]

    def add_intent(self, run_id: str, owner: str, created_at: datetime) -> None:
        evidence = {"owner": owner, "row": {"registered_name": NAME, "mlflow_run_id": run_id, "stage": "None"}}
        values = {"mlflow_run_id": run_id, "registered_name": NAME, "event": INTENDED}
        with self.engine.begin() as connection:
            statement = sa.insert(rl_model_events).values(**values, evidence=evidence, created_at=created_at)
            connection.execute(statement)

    def mirrored(self) -> dict[int, str]:
        return {row["version"]: row["mlflow_run_id"] for row in self.rows()}

    def in_mlflow(self) -> dict[int, str]:
        found = self.tracker.client.search_model_versions(f"name = '{NAME}'")
        return {int(version.version): version.run_id for version in found}
