"""What the flows that work on the registry share: both stores opened, and what is wrong with them healed first."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from flows.engine.runtime import STORAGE_RETRIES, io_task, progress, say
from flows.shared.policies import open_store
from infra.database.connection import open_database
from infra.settings import Settings, load_settings
from tasks.registry.reconcile import Findings, reconcile
from tasks.tracking.tracker import Tracker


@dataclass(frozen=True)
class Registry:
    """Both stores, and where things are."""

    engine: sa.Engine
    tracker: Tracker
    settings: Settings

    @property
    def home(self) -> Path:
        """The folder of all state."""
        return self.settings.ers_home


@contextmanager
def open_registry() -> Iterator[Registry]:
    """Yield the registry of the settings; StorageError when a store cannot be opened."""
    settings = load_settings()
    engine = open_database(settings)
    try:
        yield Registry(engine, open_store(settings), settings)
    finally:
        engine.dispose()


def reconciled(registry: Registry) -> Findings:
    """Make the stores agree, and say what was healed and what is left for people to see to."""
    with progress("reconcile", "versions") as on_progress:
        found = io_task(reconcile, retries=STORAGE_RETRIES)(
            registry.engine, registry.tracker, registry.home, on_progress
        )
    for sentence in found.healed:
        say(sentence)
    for problem in found.problems:
        say(f"warning: {problem}")
    return found
