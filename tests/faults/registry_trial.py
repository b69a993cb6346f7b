"""A registry with three versions that can be put back to its beginning, damaged, and looked through."""

import shutil
import sqlite3
import warnings
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from infra.database.connection import create_engine
from infra.settings import Settings
from learning.bundle.load import POLICY, digest, load_bundle
from schemas.tables import rl_model_events, rl_models
from tasks.registry import mlflow_side, sql_side
from tasks.tracking.tracker import Tracker, open_tracker
from tests.faults.forks import Forks

NAME = "cache-policy-eviction"
TABLES = (rl_models, rl_model_events)


class Trial:
    """Three versions of a model, the second of which is in Production, where the first was."""

    def __init__(self, forks: Forks, settings: Settings, template: Path) -> None:
        self.forks, self.settings, self._template = forks, settings, template
        for seed in range(3):
            self._prepare("train_end", seed)
        for which in ("1", "2"):
            self._prepare("promote", which)
        self._rows: dict[str, list[list[dict[str, Any]]]] = {}
        self.keep("beginning")

    def _prepare(self, operation: str, argument: Any) -> None:
        done = self.forks.run(operation, self.settings, argument)
        assert not done.error, done

    def _select(self, table: sa.Table) -> list[sa.RowMapping]:
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(table).order_by(table.c.id)).mappings())

    def keep(self, name: str) -> None:
        """Keep both stores and all files, under a name."""
        shutil.copytree(self.home, self._template / name)
        self._rows[name] = [[dict(row) for row in self._select(table)] for table in TABLES]

    def keeps(self, name: str) -> bool:
        """Return whether something is kept under a name."""
        return name in self._rows

    def reset(self, name: str = "beginning") -> None:
        """Put both stores and all files back to what was kept."""
        kept, tables = self._template / name, self._rows[name]
        for folder in ("bundles", "mlartifacts", "tmp"):
            shutil.rmtree(self.home / folder, ignore_errors=True)
            if (kept / folder).exists():
                shutil.copytree(kept / folder, self.home / folder)
        with (
            closing(sqlite3.connect(kept / "mlflow.db")) as template,
            closing(sqlite3.connect(self.home / "mlflow.db")) as mlflow_side,  # which MLflow keeps open
        ):
            template.backup(mlflow_side)
        with self.engine.begin() as connection:
            for table, rows in zip(TABLES, tables, strict=True):
                connection.execute(sa.delete(table))
                connection.execute(sa.insert(table), rows)

    @cached_property
    def engine(self) -> sa.Engine:
        """The database."""
        return create_engine(self.settings.database_url)

    @property
    def home(self) -> Path:
        """The folder of all state."""
        return self.settings.ers_home

    @cached_property
    def tracker(self) -> Tracker:
        """The MLflow store."""
        return open_tracker(self.settings)

    @property
    def rows(self) -> dict[int, sql_side.Version]:
        """The rows of `rl_models` by version."""
        return {row.version: row for row in sql_side.read_versions(self.engine, NAME)}

    @property
    def events(self) -> list[tuple[str, int | None, str | None]]:
        """Event, version and actor, in order."""
        return [(row["event"], row["version"], row["actor"]) for row in self._select(rl_model_events)]

    @property
    def champion(self) -> int | None:
        """The version in Production, according to `rl_models`."""
        return next((number for number, row in self.rows.items() if row.stage == mlflow_side.PRODUCTION), None)

    def bundle_in_mlflow(self, version: int) -> Path:
        """Return the folder of MLflow's artifacts that holds the bundle of a version."""
        (found,) = (self.home / "mlartifacts").glob(f"**/{self.rows[version].run_id}/artifacts/bundle")
        return found

    def transition(self, version: int, stage: str) -> None:
        """Put a version at a stage by hand, in MLflow."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.tracker.client.transition_model_version_stage(NAME, str(version), stage)

    def check(self, lost: frozenset[int] = frozenset()) -> None:
        """Assert all that holds whenever nobody is at work, but for the bundles of the versions that are lost."""
        tracker = self.tracker
        stored = {one.version: one for one in mlflow_side.stored_versions(tracker, NAME)}
        rows = self.rows
        assert {n: (r.run_id, r.stage, r.aliases) for n, r in rows.items()} == {
            n: (s.run_id, s.stage, s.aliases) for n, s in stored.items()
        }
        assert len({row.run_id for row in rows.values()}) == len(rows)
        champions = [number for number, row in rows.items() if row.stage == mlflow_side.PRODUCTION]
        assert len(champions) <= 1
        assert [number for number, row in rows.items() if mlflow_side.CHAMPION in row.aliases] == champions
        self._check_history(rows)
        self._check_files({n: row for n, row in rows.items() if n not in lost})
        runs = tracker.client.search_runs(["1"], "attributes.status = 'RUNNING'")
        assert [run.info.run_id for run in runs] == []

    def _check_history(self, rows: dict[int, sql_side.Version]) -> None:
        """The events of a version lead from one stage to the next, and to the one it is at; no intent is open."""
        assert sql_side.open_intents(self.engine) == []
        with self.engine.connect() as connection:
            assert sql_side.open_moves(connection) == []
        at: dict[str, str] = {}
        for event in self._select(rl_model_events):
            run_id = event["mlflow_run_id"]
            if event["from_stage"] is not None:
                assert at.get(run_id) == event["from_stage"], event
            if event["event"] == sql_side.REMOVED:
                del at[run_id]
            elif event["to_stage"] is not None:
                at[run_id] = event["to_stage"]
        assert at == {row.run_id: row.stage for row in rows.values()}

    def _check_files(self, rows: dict[int, sql_side.Version]) -> None:
        """Each folder of a bundle is whole and of a version; nothing else lies around."""
        registered = {row.run_id: row for row in rows.values()}
        removed = {event["mlflow_run_id"] for event in self._select(rl_model_events) if event["event"] == "removed"}
        for folder in (self.home / "bundles").iterdir():
            run_id = folder.name.rpartition("-")[2]
            assert run_id in registered or run_id in removed, folder
            load_bundle(folder)
        for row in rows.values():
            bundle = load_bundle(self.bundle_in_mlflow(row.version))
            assert bundle.sha256 == row.bundle_sha256
            model = bundle.folder.with_name("model") / "artifacts" / POLICY
            assert digest(model.read_bytes()) == bundle.metadata.files[POLICY]
        assert list((self.home / "tmp").iterdir()) == []
