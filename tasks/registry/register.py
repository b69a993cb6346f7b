"""Registration: a version in MLflow and its row in `rl_models`, which a kill at any point leaves in agreement.

Two stores cannot commit together. So the steps are: the artifacts; an "intended" event that holds the whole row; the
version in MLflow, found again by its run; the row and a "registered" event in one transaction. What a killed
process leaves is an intent without outcome: `settle_registrations` completes it when MLflow has the version and
abandons it otherwise. Abandoned rather than completed, because the command that was killed will be given again.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from infra.database.connection import storage_errors, writing
from learning.bundle.load import POLICY, LoadedBundle, load_bundle
from schemas.errors import StorageError
from schemas.tables import rl_models, utc_now
from support.process_owner import current_owner, is_gone
from tasks.registry import mlflow_side, sql_side
from tasks.registry.jsonable import jsonable
from tasks.registry.logged_row import log_row
from tasks.steps import step_done
from tasks.tracking.descriptions import model_description, version_description, version_tags
from tasks.tracking.model_artifacts import MODEL_ARTIFACT, log_model
from tasks.tracking.tracker import Tracker

ORPHANED_AFTER = timedelta(days=1)  # when an intent of another host, whose processes cannot be seen, counts as dead


@dataclass(frozen=True)
class RegisteredModel:
    """A version of a registered model, as both stores name it."""

    name: str
    version: int
    stage: str


def register(engine: sa.Engine, tracker: Tracker, run_id: str, bundle: Path, row: Mapping[str, Any]) -> RegisteredModel:
    """Register the policy in `bundle` as a version of `cache-policy-<decision>`, at stage "None".

    Registering a run again adds no version: it returns the one that is there.

    Args:
        engine: the database with `rl_models`.
        tracker: the MLflow store with the run.
        run_id: the MLflow run that trained the policy; the idempotency key.
        bundle: folder of the exported bundle.
        row: columns of `rl_models` to fill in; names, version, stage, hash and model are filled in here. NaN and
            infinity are stored as null.

    Raises:
        BundleError: the bundle is not whole.
        StorageError: a store cannot be written, or the two do not belong together.
    """
    loaded = load_bundle(bundle)
    require_mirror(engine, tracker)
    settle_registrations(engine, tracker)
    done = _registered(engine, run_id)
    if done:
        return done
    name = mlflow_side.model_name(loaded.metadata.decision)
    full_row = _complete(row, name, run_id, loaded)
    log_model(tracker, run_id, loaded)
    step_done("register: model logged")
    log_row(tracker, run_id, full_row, bundle.parent)
    step_done("register: row logged")
    intent = {"owner": current_owner(), "row": full_row}
    sql_side.record_event(engine, sql_side.event(run_id, name, sql_side.INTENDED, evidence=intent))
    step_done("register: intent recorded")
    version = _create_version(tracker, name, run_id, loaded)
    step_done("register: version created")
    model = _write_row(engine, full_row, version)
    step_done("register: row written")
    return model


def settle_registrations(engine: sa.Engine, tracker: Tracker) -> list[str]:
    """Settle what killed registrations left, and return a sentence for each that was settled.

    An intent whose version MLflow has is completed from the row it recorded. One without is abandoned once its
    process is known to be dead, or is of another host and a day old.

    Raises:
        StorageError: a store cannot be written.
    """
    return [sentence for intent in sql_side.open_intents(engine) if (sentence := _settle(engine, tracker, intent))]


def _settle(engine: sa.Engine, tracker: Tracker, intent: sa.Row[Any]) -> str:
    run_id, name = intent.mlflow_run_id, intent.registered_name
    version = mlflow_side.version_of_run(tracker, name, run_id)
    if version is not None:
        _write_row(engine, intent.evidence["row"], version)
        step_done("settle: registration completed")
        return f"completed {name} version {version} of run {run_id}, whose registration was cut off"
    if is_gone(intent.evidence["owner"]) or utc_now() - intent.created_at > ORPHANED_AFTER:
        reason = "the process ended before MLflow had the version"
        sql_side.record_event(engine, sql_side.event(run_id, name, sql_side.ABANDONED, reason=reason))
        step_done("settle: registration abandoned")
        return f"abandoned the registration of run {run_id}, which was cut off before {name} had a version of it"
    return ""


def require_mirror(engine: sa.Engine, tracker: Tracker) -> None:
    """Raise StorageError when the newest row of `rl_models` is of a run that this MLflow store never had."""
    columns = (rl_models.c.registered_name, rl_models.c.version, rl_models.c.mlflow_run_id)
    with storage_errors(engine.url), engine.connect() as connection:
        newest = connection.execute(sa.select(*columns).order_by(rl_models.c.id.desc()).limit(1)).first()
    if newest and not tracker.knows_run(newest.mlflow_run_id):
        raise StorageError(
            f"rl_models holds {newest.registered_name} version {newest.version}, of a run that is not in MLflow at "
            f"{tracker.shown_uri}: set MLFLOW_TRACKING_URI to the store it came from, or DB_URL to another database"
        )


# --- the row ---


def _complete(row: Mapping[str, Any], name: str, run_id: str, loaded: LoadedBundle) -> dict[str, Any]:
    """Return the row of `rl_models` as JSON holds it, without the version."""
    unknown = sorted(set(row) - set(rl_models.columns.keys()))
    if unknown:
        raise StorageError(f"rl_models has no column {', '.join(unknown)}; its columns are in schemas/tables.py")
    ours = {
        "registered_name": name,
        "mlflow_run_id": run_id,
        "stage": mlflow_side.NO_STAGE,
        "aliases": [],
        "algorithm": loaded.metadata.algorithm,
        "decision": loaded.metadata.decision,
        "input_dimension": len(loaded.metadata.features),
        "data_fingerprint": loaded.metadata.data.fingerprint,
        "bundle_sha256": loaded.sha256,
        "model_base64": base64.b64encode((loaded.folder / POLICY).read_bytes()).decode(),
    }
    full_row: dict[str, Any] = jsonable({**row, **ours})
    return full_row


def _write_row(engine: sa.Engine, full_row: Mapping[str, Any], version: int) -> RegisteredModel:
    """Insert the row and its event together; a row of this run that is there already stays as it is."""
    run_id, name, stage = (full_row[key] for key in ("mlflow_run_id", "registered_name", "stage"))
    with writing(engine) as connection:
        if not connection.execute(_select_run(run_id)).first():
            sql_side.insert_version(connection, full_row, version)
            connection.execute(sql_side.event(run_id, name, sql_side.REGISTERED, version=version, to_stage=stage))
    return RegisteredModel(name, version, stage)


def _registered(engine: sa.Engine, run_id: str) -> RegisteredModel | None:
    with storage_errors(engine.url), engine.connect() as connection:
        row = connection.execute(_select_run(run_id)).first()
    return RegisteredModel(*row) if row else None


def _select_run(run_id: str) -> sa.Select[Any]:
    columns = (rl_models.c.registered_name, rl_models.c.version, rl_models.c.stage)
    return sa.select(*columns).where(rl_models.c.mlflow_run_id == run_id)


# --- MLflow ---


def _create_version(tracker: Tracker, name: str, run_id: str, loaded: LoadedBundle) -> int:
    from mlflow.exceptions import MlflowException

    present = mlflow_side.version_of_run(tracker, name, run_id)
    if present is not None:
        return present
    with tracker.errors():
        try:
            tracker.client.create_registered_model(name, description=model_description(loaded.metadata.decision))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        step_done("register: model created")
        source = f"{tracker.client.get_run(run_id).info.artifact_uri}/{MODEL_ARTIFACT}"
        created = tracker.client.create_model_version(
            name,
            source,
            run_id,
            tags=version_tags(loaded.metadata) | {"bundle_sha256": loaded.sha256},
            description=version_description(loaded.metadata),
            await_creation_for=0,
        )
        return int(created.version)
