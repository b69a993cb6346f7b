"""Rolling back: the version that was in Production before is there again, loaded and checked."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from infra.database.connection import storage_errors
from schemas.errors import ConfigError
from tasks.registry import sql_side
from tasks.registry.bundles import fetch_bundle
from tasks.registry.champion import Move, champion_of, is_dead, move_champion
from tasks.registry.history import former_champions
from tasks.registry.mlflow_side import model_name
from tasks.tracking.tracker import Tracker


@dataclass(frozen=True)
class RolledBack:
    """A rollback: which version is in Production again, which was before (None = none), and the bundle to serve."""

    name: str
    version: int
    former: int | None
    bundle: Path


def roll_back(
    engine: sa.Engine, tracker: Tracker, home: Path, decision: str, reason: str, reconcile: Callable[[], object]
) -> RolledBack:
    """Put the version back into Production that was there before the present one, or last, when none is now.

    A rollback that was killed half-way is completed, and no further one is made.

    Args:
        engine: the database with `rl_models`.
        tracker: the MLflow store.
        home: folder of all state.
        decision: of the registered model.
        reason: why, for the history.
        reconcile: makes the stores agree, the present champion may have been chosen by hand.

    Raises:
        ConfigError: no version was in Production before.
        BundleError: the bundle of that version is lost.
        ConflictError: another process is moving the champion.
        StorageError: a store cannot be read or written.
    """
    name = model_name(decision)
    move = _cut_off(engine, name)
    reconcile()
    versions = sql_side.read_versions(engine, name)
    champion = champion_of(versions)
    if move is None:
        former = champion.version if champion else None
        move = Move(name, _previous(engine, name, former), former, sql_side.ROLLED_BACK, reason)
    previous = next(version for version in versions if version.version == move.version)
    bundle = fetch_bundle(tracker, previous, home)
    if champion != previous:
        move_champion(engine, tracker, move)
    return RolledBack(name, previous.version, move.former, bundle.folder)


def _cut_off(engine: sa.Engine, name: str) -> Move | None:
    """Return the rollback that a killed process had begun."""
    with storage_errors(engine.url), engine.connect() as connection:
        moves = [Move(**intent.evidence["move"]) for intent in sql_side.open_moves(connection, name) if is_dead(intent)]
    return next((move for move in moves if move.kind == sql_side.ROLLED_BACK), None)


def _previous(engine: sa.Engine, name: str, champion: int | None) -> int:
    past = former_champions(engine, name)
    if past[-1:] == [champion]:
        past = past[:-1]
    if not past:
        raise ConfigError(f"{name}: no version was in Production before, so there is nothing to go back to")
    return past[-1]
