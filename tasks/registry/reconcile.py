"""Reconciling: finds what a crash, or a hand in MLflow, left the two stores disagreeing about, and heals it.

MLflow is what people edit, so it is right about which versions there are and, once the version was loaded and checked,
about which one is the champion; `rl_models` follows, and its history marks such a change as external. Where there is
nothing to do, nothing is written.
"""

from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from infra.database.connection import storage_errors, writing
from learning.callbacks import OnProgress
from schemas.errors import BundleError, ConflictError
from tasks.registry import mlflow_side, sql_side
from tasks.registry.bundles import BUNDLES, mend_bundle, sweep
from tasks.registry.champion import Move, champion_of, is_dead, move_champion, put_back, settle_moves
from tasks.registry.logged_row import logged_row
from tasks.registry.mlflow_side import StoredVersion
from tasks.registry.register import require_mirror, settle_registrations
from tasks.registry.sql_side import Version
from tasks.steps import step_done
from tasks.tracking.tracker import Tracker

BY_HAND = "changed by hand in MLflow"
SWEPT = (BUNDLES, "reports")


@dataclass
class Findings:
    """What was found: what was healed, and what people must see to, a sentence each."""

    healed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def heal(engine: sa.Engine, tracker: Tracker, home: Path) -> list[str]:
    """Settle what killed processes left; return a sentence for each thing that was settled.

    Their registrations and moves of the champion are completed or given up, their runs in MLflow are ended, and what
    they left in the home is removed.

    Raises:
        StorageError: a store cannot be written, or `rl_models` mirrors another MLflow store.
    """
    require_mirror(engine, tracker)
    done = settle_registrations(engine, tracker) + settle_moves(engine, tracker)
    registered = {version.run_id for version in sql_side.read_versions(engine)}
    tracker.end_killed_runs(registered)
    intended = {intent.mlflow_run_id for intent in sql_side.open_intents(engine)}
    return done + sweep(home, tracker, registered | intended, SWEPT)


def reconcile(engine: sa.Engine, tracker: Tracker, home: Path, on_progress: OnProgress = lambda *_: None) -> Findings:
    """Settle what killed processes left, then make `rl_models` and MLflow agree on versions, stages and bundles.

    Args:
        engine: the database with `rl_models`.
        tracker: the MLflow store.
        home: folder of all state.
        on_progress: receives how many versions' bundles were checked, of how many.

    Raises:
        StorageError: a store cannot be written, or `rl_models` mirrors another MLflow store.
    """
    found = Findings(healed=heal(engine, tracker, home))
    names = {version.name for version in sql_side.read_versions(engine)} | set(mlflow_side.stored_names(tracker))
    for name in sorted(names):
        if _is_moving(engine, name):
            found.problems.append(f"{name}: its champion is being moved by another process: left alone")
            continue
        _agree_on_versions(engine, tracker, name, home, found)
        _agree_on_champion(engine, tracker, name, home, found)
        _agree_on_stages(engine, tracker, name, found)
    versions = sql_side.read_versions(engine)
    for number, version in enumerate(versions):
        on_progress(number, len(versions))
        _check_bundle(tracker, version, home, found)
    on_progress(len(versions), len(versions))
    return found


def _is_moving(engine: sa.Engine, name: str) -> bool:
    with storage_errors(engine.url), engine.connect() as connection:
        return any(not is_dead(intent) for intent in sql_side.open_moves(connection, name))


# --- which versions there are ---


def _agree_on_versions(engine: sa.Engine, tracker: Tracker, name: str, home: Path, found: Findings) -> None:
    rows = sql_side.read_versions(engine, name)  # first: a row comes after its version
    stored = mlflow_side.stored_versions(tracker, name)
    in_mlflow = {(one.version, one.run_id) for one in stored}
    for row in rows:
        if (row.version, row.run_id) not in in_mlflow:
            with writing(engine) as connection:
                sql_side.delete_version(connection, row, "deleted in MLflow")
            step_done("reconcile: row removed")
            found.healed.append(f"removed the row of {row.title}, which is no longer in MLflow")
    mirrored = {(row.version, row.run_id) for row in rows}
    under_way = {intent.mlflow_run_id for intent in sql_side.open_intents(engine)}
    for one in stored:
        if (one.version, one.run_id) not in mirrored and one.run_id not in under_way:
            _restore_row(engine, tracker, name, one, home, found)


def _restore_row(
    engine: sa.Engine, tracker: Tracker, name: str, stored: StoredVersion, home: Path, found: Findings
) -> None:
    title = f"{name} version {stored.version}"
    if stored.run_id in {version.run_id for version in sql_side.read_versions(engine)}:
        found.problems.append(f"{title} is of a run that has another version already: delete it in MLflow")
        return
    row = sql_side.recorded_row(engine, stored.run_id) or logged_row(tracker, stored.run_id, home / BUNDLES)
    if row is None or row["registered_name"] != name:
        found.problems.append(f"{title} was not registered by this pipeline, which has no record of it: left alone")
        return
    with writing(engine) as connection:
        if stored.run_id in {version.run_id for version in sql_side.versions_in(connection)}:
            return  # another process has restored it meanwhile
        sql_side.insert_version(connection, {**row, "stage": mlflow_side.NO_STAGE, "aliases": []}, stored.version)
        values = {"version": stored.version, "to_stage": mlflow_side.NO_STAGE, "reason": "its row was missing"}
        connection.execute(sql_side.event(stored.run_id, name, sql_side.RESTORED, **values))
    step_done("reconcile: row restored")
    found.healed.append(f"restored the row of {title}")


# --- which version is the champion ---


def _agree_on_champion(engine: sa.Engine, tracker: Tracker, name: str, home: Path, found: Findings) -> None:
    rows, stored = sql_side.read_versions(engine, name), mlflow_side.stored_versions(tracker, name)
    mirrored = champion_of(rows)
    former = mirrored.version if mirrored else None
    if is_agreed(stored, former):
        return
    wanted = wanted_champion(stored, former)
    if wanted is not None:
        problem = _unfit(tracker, next((row for row in rows if row.version == wanted), None), home)
        if problem:
            meant = next(one for one in stored if one.version == wanted)
            _put_back(engine, tracker, name, meant, former, problem)
            found.healed.append(
                f"put {name} back to {_champion(former)}: somebody chose version {wanted}, but {problem}"
            )
            return
    kind = sql_side.ARCHIVED if wanted is None else sql_side.PROMOTED
    try:
        move_champion(engine, tracker, Move(name, wanted, former, kind, BY_HAND, sql_side.EXTERNAL))
    except ConflictError as error:
        found.problems.append(str(error))
        return
    found.healed.append(f"mirrored what was {BY_HAND}: {name} has {_champion(wanted)}")


def _put_back(
    engine: sa.Engine, tracker: Tracker, name: str, meant: StoredVersion, former: int | None, problem: str
) -> None:
    """Undo in MLflow what was done by hand there; the event comes first, once, however often this is cut off."""
    if sql_side.last_event(engine, meant.run_id) != (sql_side.REFUSED, problem):
        told = {"version": meant.version, "actor": sql_side.EXTERNAL, "reason": problem}
        sql_side.record_event(engine, sql_side.event(meant.run_id, name, sql_side.REFUSED, **told))
        step_done("reconcile: refusal recorded")
    put_back(tracker, name, former)


def _champion(version: int | None) -> str:
    return "no version in Production" if version is None else f"version {version} in Production"


def is_agreed(stored: list[StoredVersion], champion: int | None) -> bool:
    """Return whether exactly this version, or none, is in Production in MLflow and has the alias "champion"."""
    only = [] if champion is None else [champion]
    return _in_production(stored) == only and _with_alias(stored) == only


def wanted_champion(stored: list[StoredVersion], former: int | None) -> int | None:
    """Return which version people meant to be the champion by what they changed in MLflow.

    Alias and stage move together here, so one that differs from the row was moved by hand: to another version, which
    is then meant (the alias before the stage, then the latest change), or away from the champion, and then none is.
    """
    alias = [version for version in _with_alias(stored) if version != former]
    if alias:
        return alias[0]
    staged = [one for one in stored if one.stage == mlflow_side.PRODUCTION and one.version != former]
    if staged:
        return max(staged, key=lambda one: (one.updated_ms, one.version)).version
    return former if is_agreed(stored, former) else None


def _in_production(stored: list[StoredVersion]) -> list[int]:
    return [one.version for one in stored if one.stage == mlflow_side.PRODUCTION]


def _with_alias(stored: list[StoredVersion]) -> list[int]:
    return [one.version for one in stored if mlflow_side.CHAMPION in one.aliases]


def _unfit(tracker: Tracker, row: Version | None, home: Path) -> str:
    """Return why a version cannot be the champion, "" when it can."""
    if row is None:
        return "this pipeline has no record of it"
    try:
        mend_bundle(tracker, row, home)
    except BundleError as error:
        return str(error)
    return ""


# --- other stages and aliases, and the bundles ---


def _agree_on_stages(engine: sa.Engine, tracker: Tracker, name: str, found: Findings) -> None:
    stored = {(one.version, one.run_id): one for one in mlflow_side.stored_versions(tracker, name)}
    for row in sql_side.read_versions(engine, name):
        one = stored.get((row.version, row.run_id))
        if one is None or (one.stage, one.aliases) == (row.stage, tuple(sorted(row.aliases))):
            continue
        if one.stage != row.stage and mlflow_side.PRODUCTION in (one.stage, row.stage):
            continue  # a move that began meanwhile
        with writing(engine) as connection:
            if row not in sql_side.versions_in(connection, name) or sql_side.open_moves(connection, name):
                continue  # another process was first
            sql_side.update_version(connection, row, one.stage, one.aliases)
            stages = {"from_stage": row.stage, "to_stage": one.stage}
            evidence = {"aliases": list(one.aliases)}
            told = {"actor": sql_side.EXTERNAL, "reason": BY_HAND, "evidence": evidence}
            connection.execute(sql_side.event_of(row, sql_side.CHANGED, **stages, **told))
        step_done("reconcile: stage mirrored")
        found.healed.append(f"mirrored the stage and aliases of {row.title}, {BY_HAND}: {one.stage}")


def _check_bundle(tracker: Tracker, version: Version, home: Path, found: Findings) -> None:
    try:
        if sentence := mend_bundle(tracker, version, home):
            found.healed.append(sentence)
    except BundleError as error:
        remedy = ""
        if version.stage == mlflow_side.PRODUCTION:
            remedy = f"; it is in Production: python -m flows rollback --decision {version.decision}"
        found.problems.append(f"{error}{remedy}")
