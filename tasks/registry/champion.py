"""Moving the champion: alias and stage in MLflow, and their mirror in SQL, change together whatever is killed when.

The intent comes first, recorded only if the champion is still the one that the decision to move was based on, and
nobody else is moving it; then the alias; then the stages; then, in one transaction, the rows and the events that
settle the intent. Each step can be repeated, so what a killed process left is carried out to its end: the decision
had been made, on a version that was loaded and checked.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from infra.database.connection import storage_errors, writing
from schemas.errors import ConflictError
from schemas.tables import utc_now
from support.process_owner import current_owner, is_gone
from tasks.registry import mlflow_side, sql_side
from tasks.registry.sql_side import Version
from tasks.steps import step_done
from tasks.tracking.tracker import Tracker

ORPHANED_AFTER = timedelta(minutes=10)  # when a move by another host, whose processes cannot be seen, counts as dead


@dataclass(frozen=True)
class Move:
    """A change of the champion.

    Attributes:
        name: the registered model.
        version: that becomes the champion; None = none does, the present one is archived.
        former: the champion that this was decided on; None = there was none.
        kind: the event that tells of it: promoted, rolled back or archived.
        reason: why.
        actor: who decided.
        evidence: what it was decided on, as JSON.
    """

    name: str
    version: int | None
    former: int | None
    kind: str
    reason: str
    actor: str = field(default_factory=sql_side.actor)
    evidence: Mapping[str, Any] = field(default_factory=dict)


def champion_of(versions: list[Version]) -> Version | None:
    """Return the version at stage "Production"."""
    return next((version for version in versions if version.stage == mlflow_side.PRODUCTION), None)


def move_champion(engine: sa.Engine, tracker: Tracker, move: Move) -> None:
    """Carry out a move; a process that is killed in it leaves an intent that `settle_moves` carries out.

    Raises:
        ConflictError: another process is moving the champion, or has moved it meanwhile.
        StorageError: a store cannot be written.
    """
    _record_intent(engine, move)
    step_done("move: intent recorded")
    _carry_out(engine, tracker, move)


def settle_moves(engine: sa.Engine, tracker: Tracker) -> list[str]:
    """Carry out the moves of killed processes; return a sentence for each.

    A move of another host, whose processes cannot be seen, counts as killed after ten minutes. One whose version has
    been deleted in MLflow since is given up.

    Raises:
        StorageError: a store cannot be written.
    """
    with storage_errors(engine.url), engine.connect() as connection:
        intents = sql_side.open_moves(connection)
    return [_settle(engine, tracker, intent) for intent in intents if is_dead(intent)]


def is_dead(intent: sa.Row[Any]) -> bool:
    """Return whether the process that recorded an intent to move is known to have ended, or must have."""
    return is_gone(intent.evidence["owner"]) or utc_now() - intent.created_at > ORPHANED_AFTER


def _settle(engine: sa.Engine, tracker: Tracker, intent: sa.Row[Any]) -> str:
    move = Move(**intent.evidence["move"])
    there = {one.version for one in mlflow_side.stored_versions(tracker, move.name)}
    there &= {version.version for version in sql_side.read_versions(engine, move.name)}
    if move.version is not None and move.version not in there:
        _give_up(engine, tracker, move, intent.mlflow_run_id, move.former if move.former in there else None)
        return f"gave up the move of {move.name} to version {move.version}, which was deleted since"
    _carry_out(engine, tracker, move)
    target = "no version" if move.version is None else f"version {move.version}"
    return f"completed the move of {move.name} to {target}, which was cut off"


def _give_up(engine: sa.Engine, tracker: Tracker, move: Move, run_id: str, former: int | None) -> None:
    put_back(tracker, move.name, former)
    reason = "the process ended, and the version was deleted since"
    sql_side.record_event(
        engine, sql_side.event(run_id, move.name, sql_side.NOT_MOVED, version=move.version, reason=reason)
    )
    step_done("settle: move given up")


def put_back(tracker: Tracker, name: str, champion: int | None) -> None:
    """Let MLflow have the champion, or none, that the rows have."""
    mlflow_side.point_alias(tracker, name, champion)
    step_done("put back: alias set")
    mlflow_side.leave_in_production(tracker, name, champion)
    step_done("put back: stages set")


# --- the steps ---


def _record_intent(engine: sa.Engine, move: Move) -> None:
    with writing(engine) as connection:
        versions = sql_side.versions_in(connection, move.name)
        _require_free(connection, move.name)
        champion = champion_of(versions)
        if (champion.version if champion else None) != move.former:
            now = f"version {champion.version}" if champion else "no version"
            raise ConflictError(f"{move.name}: {now} is in Production now, another process moved it: run this again")
        subject = _subject(versions, move)
        evidence = {"owner": current_owner(), "move": asdict(move)}
        connection.execute(
            sql_side.event_of(subject, sql_side.MOVING, actor=move.actor, reason=move.reason, evidence=evidence)
        )


def _require_free(connection: sa.Connection, name: str) -> None:
    for intent in sql_side.open_moves(connection, name):
        raise ConflictError(
            f"{name}: {intent.actor} is moving version {intent.version} since {intent.created_at:%H:%M:%S} UTC: "
            "run this again when that has ended"
        )


def _subject(versions: list[Version], move: Move) -> Version:
    """Return the version that the events of a move are about: the new champion, or the one that is archived."""
    number = move.former if move.version is None else move.version
    found = next((version for version in versions if version.version == number), None)
    if found is None:
        raise ConflictError(f"{move.name} has no version {number} any more: run this again")
    return found


def _carry_out(engine: sa.Engine, tracker: Tracker, move: Move) -> None:
    mlflow_side.point_alias(tracker, move.name, move.version)
    step_done("move: alias set")
    mlflow_side.leave_in_production(tracker, move.name, move.version)
    step_done("move: stages set")
    with writing(engine) as connection:
        if sql_side.open_moves(connection, move.name):  # else another process has carried it out
            _mirror_move(connection, move)
    step_done("move: rows written")


def _mirror_move(connection: sa.Connection, move: Move) -> None:
    versions = sql_side.versions_in(connection, move.name)
    subject = _subject(versions, move)
    common = {"actor": move.actor, "reason": move.reason}
    for version in versions:
        if version.stage == mlflow_side.PRODUCTION and version.version != move.version:
            others = tuple(alias for alias in version.aliases if alias != mlflow_side.CHAMPION)
            sql_side.update_version(connection, version, mlflow_side.ARCHIVED_STAGE, others)
            stages = {"from_stage": version.stage, "to_stage": mlflow_side.ARCHIVED_STAGE}
            connection.execute(sql_side.event_of(version, sql_side.ARCHIVED, **stages, **common))
    if move.version is None:
        return
    aliases = tuple(sorted({*subject.aliases, mlflow_side.CHAMPION}))
    sql_side.update_version(connection, subject, mlflow_side.PRODUCTION, aliases)
    stages = {"from_stage": subject.stage, "to_stage": mlflow_side.PRODUCTION}
    evidence = dict(move.evidence) or None
    connection.execute(sql_side.event_of(subject, move.kind, **stages, **common, evidence=evidence))
