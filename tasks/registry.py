"""The model registry: a version in MLflow and its mirror in `rl_models`, which a kill at any point leaves in agreement.

Two stores cannot commit together. So the steps are: the artifacts; an "intended" event that holds the whole row; the
version in MLflow, found again by its run; the row and a "registered" event in one transaction. What a killed
process leaves is an intent without outcome: `heal` completes it when MLflow has the version and abandons it
otherwise. Abandoned rather than completed, because the command that was killed will be given again.
"""

import base64
import math
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from infra.database import storage_errors, writing
from learning.bundle import POLICY, LoadedBundle, load_bundle
from learning.owner import current_owner, is_gone
from schemas.errors import StorageError
from schemas.tables import UtcDateTime, rl_model_events, rl_models, utc_now
from tasks.tracking import Tracker

MODEL_ARTIFACT, BUNDLE_ARTIFACT = "model", "bundle"  # folders among the artifacts of a run
INTENDED, REGISTERED, ABANDONED = "intended", "registered", "abandoned"
NO_STAGE = "None"  # as MLflow calls it
ORPHANED_AFTER = timedelta(days=1)  # when an intent of another host, whose processes cannot be seen, counts as dead
MODEL_CODE = Path(__file__).with_name("pyfunc_policy.py")
MODEL_LIBRARIES = ("mlflow", "numpy", "pandas", "torch")


@dataclass(frozen=True)
class RegisteredModel:
    """A version of a registered model, as both stores name it."""

    name: str
    version: int
    stage: str


def register(
    engine: sa.Engine,
    tracker: Tracker,
    run_id: str,
    bundle: Path,
    row: Mapping[str, Any],
    after_step: Callable[[str], None] = lambda step: None,
) -> RegisteredModel:
    """Register the policy in `bundle` as a version of `cache-policy-<decision>`, at stage "None".

    Registering a run again adds no version: it returns the one that is there.

    Args:
        engine: the database with `rl_models`.
        tracker: the MLflow store with the run.
        run_id: the MLflow run that trained the policy; the idempotency key.
        bundle: folder of the exported bundle.
        row: columns of `rl_models` to fill in; names, version, stage, hash and model are filled in here. NaN and
            infinity are stored as null.
        after_step: called with the name of each step once it is done: artifacts, intent, model, version, row.

    Raises:
        BundleError: the bundle is not whole.
        StorageError: a store cannot be written, or the two do not belong together.
    """
    loaded = load_bundle(bundle)
    heal(engine, tracker)
    done = _row_of_run(engine, run_id)
    if done:
        return done
    name = f"cache-policy-{loaded.metadata.decision}"
    full_row = _complete(row, name, run_id, loaded)
    _log_artifacts(tracker, run_id, loaded)
    after_step("artifacts")
    _record_event(engine, run_id, name, INTENDED, evidence={"owner": current_owner(), "row": full_row})
    after_step("intent")
    version = _create_version(tracker, name, run_id, after_step)
    after_step("version")
    model = _write_row(engine, full_row, version)
    after_step("row")
    return model


def heal(engine: sa.Engine, tracker: Tracker) -> list[str]:
    """Settle what killed registrations left, and return a sentence for each that was settled.

    An intent whose version MLflow has is completed from the row it recorded. One without is abandoned once its
    process is known to be dead, or is of another host and a day old.

    Raises:
        StorageError: a store cannot be written, or `rl_models` mirrors another MLflow store.
    """
    _require_mirror(engine, tracker)
    return [sentence for intent in _open_intents(engine) if (sentence := _settle(engine, tracker, intent))]


def _settle(engine: sa.Engine, tracker: Tracker, intent: sa.Row[Any]) -> str:
    run_id, name = intent.mlflow_run_id, intent.registered_name
    version = _version_of_run(tracker, name, run_id)
    if version is not None:
        _write_row(engine, intent.evidence["row"], version)
        return f"completed {name} version {version} of run {run_id}, whose registration was cut off"
    owner = intent.evidence["owner"]
    if is_gone(owner) or utc_now() - intent.created_at > ORPHANED_AFTER:
        _record_event(engine, run_id, name, ABANDONED, reason="the process ended before MLflow had the version")
        return f"abandoned the registration of run {run_id}, which was cut off before {name} had a version of it"
    return ""


# --- rl_models and rl_model_events ---


def _complete(row: Mapping[str, Any], name: str, run_id: str, loaded: LoadedBundle) -> dict[str, Any]:
    """Return the row of `rl_models` as JSON holds it, without the version."""
    unknown = sorted(set(row) - set(rl_models.columns.keys()))
    if unknown:
        raise StorageError(f"rl_models has no column {', '.join(unknown)}; its columns are in schemas/tables.py")
    ours = {
        "registered_name": name,
        "mlflow_run_id": run_id,
        "stage": NO_STAGE,
        "aliases": [],
        "algorithm": loaded.metadata.algorithm,
        "decision": loaded.metadata.decision,
        "input_dimension": len(loaded.metadata.features),
        "data_fingerprint": loaded.metadata.data.fingerprint,
        "bundle_sha256": loaded.sha256,
        "model_base64": base64.b64encode((loaded.folder / POLICY).read_bytes()).decode(),
    }
    full_row: dict[str, Any] = _jsonable({**row, **ours})
    return full_row


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | bool | int | float) else _jsonable(value.tolist())


def _write_row(engine: sa.Engine, full_row: Mapping[str, Any], version: int) -> RegisteredModel:
    """Insert the row and its event together; a row of this run that is there already stays as it is."""
    run_id, name = full_row["mlflow_run_id"], full_row["registered_name"]
    moments = {c.name for c in rl_models.columns if isinstance(c.type, UtcDateTime)}
    values = {k: datetime.fromisoformat(v) if k in moments and v else v for k, v in full_row.items()}
    with writing(engine) as connection:
        if not connection.execute(_select_run(run_id)).first():
            connection.execute(sa.insert(rl_models).values(**values, version=version))
            connection.execute(_event(run_id, name, REGISTERED, version=version, to_stage=full_row["stage"]))
    return RegisteredModel(name, version, full_row["stage"])


def _row_of_run(engine: sa.Engine, run_id: str) -> RegisteredModel | None:
    with storage_errors(engine.url), engine.connect() as connection:
        row = connection.execute(_select_run(run_id)).first()
    return RegisteredModel(*row) if row else None


def _select_run(run_id: str) -> sa.Select[Any]:
    columns = (rl_models.c.registered_name, rl_models.c.version, rl_models.c.stage)
    return sa.select(*columns).where(rl_models.c.mlflow_run_id == run_id)


def _event(run_id: str, name: str, event: str, **values: Any) -> sa.Insert:
    common = {"mlflow_run_id": run_id, "registered_name": name, "event": event, "actor": current_owner()}
    return sa.insert(rl_model_events).values(**common, **values)


def _record_event(engine: sa.Engine, run_id: str, name: str, event: str, **values: Any) -> None:
    with writing(engine) as connection:
        connection.execute(_event(run_id, name, event, **values))


def _open_intents(engine: sa.Engine) -> list[sa.Row[Any]]:
    """Return the intents that no later event of their run settles."""
    events = rl_model_events.c
    last = (
        sa.select(sa.func.max(events.id))
        .where(events.event.in_((INTENDED, REGISTERED, ABANDONED)))
        .group_by(events.mlflow_run_id)
    )
    query = sa.select(rl_model_events).where(events.id.in_(last), events.event == INTENDED).order_by(events.id)
    with storage_errors(engine.url), engine.connect() as connection:
        return list(connection.execute(query).all())


# --- MLflow ---


def _require_mirror(engine: sa.Engine, tracker: Tracker) -> None:
    """Raise StorageError when the newest row of `rl_models` is of a run that this MLflow store never had."""
    columns = (rl_models.c.registered_name, rl_models.c.version, rl_models.c.mlflow_run_id)
    with storage_errors(engine.url), engine.connect() as connection:
        newest = connection.execute(sa.select(*columns).order_by(rl_models.c.id.desc()).limit(1)).first()
    if newest and not tracker.knows_run(newest.mlflow_run_id):
        raise StorageError(
            f"rl_models holds {newest.registered_name} version {newest.version}, of a run that is not in MLflow at "
            f"{tracker.shown_uri}: set MLFLOW_TRACKING_URI to the store it came from, or DB_URL to another database"
        )


def _log_artifacts(tracker: Tracker, run_id: str, loaded: LoadedBundle) -> None:
    tracker.log_artifacts(loaded.folder, BUNDLE_ARTIFACT, run_id)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / MODEL_ARTIFACT
        with tracker.errors(), warnings.catch_warnings():
            # MLflow warns of its own type hints when imported, and that no example of an input is given.
            warnings.simplefilter("ignore", UserWarning)
            _save_model(loaded, run_id, folder)
        tracker.log_artifacts(folder, MODEL_ARTIFACT, run_id)


def _save_model(loaded: LoadedBundle, run_id: str, folder: Path) -> None:
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    inputs = Schema([ColSpec(DataType.double, feature.name) for feature in loaded.metadata.features])
    actions = loaded.metadata.actions
    shape = (-1,) if actions is None else (-1, len(actions.lifetimes_s))
    outputs = Schema([TensorSpec(np.dtype(np.float32), shape, "scores")])
    # Named, so that MLflow does not start a process to find them out, which takes most of a minute.
    libraries = [f"{name}=={library_version(name).partition('+')[0]}" for name in MODEL_LIBRARIES]
    mlflow.pyfunc.save_model(
        path=str(folder),
        python_model=str(MODEL_CODE),
        artifacts={"policy": str(loaded.folder / POLICY)},
        signature=ModelSignature(inputs, outputs),
        pip_requirements=libraries,
        mlflow_model=Model(artifact_path=MODEL_ARTIFACT, run_id=run_id),
        metadata={"bundle_sha256": loaded.sha256},
    )


def _create_version(tracker: Tracker, name: str, run_id: str, after_step: Callable[[str], None]) -> int:
    from mlflow.exceptions import MlflowException

    present = _version_of_run(tracker, name, run_id)
    if present is not None:
        return present
    with tracker.errors():
        try:
            tracker.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        after_step("model")
        source = f"{tracker.client.get_run(run_id).info.artifact_uri}/{MODEL_ARTIFACT}"
        created = tracker.client.create_model_version(name, source, run_id, await_creation_for=0)
        return int(created.version)


def _version_of_run(tracker: Tracker, name: str, run_id: str) -> int | None:
    with tracker.errors():
        found = tracker.client.search_model_versions(f"run_id = '{run_id}'")
    return next((int(version.version) for version in found if version.name == name), None)
