"""MLflow tracking: runs of one experiment with parameters, metric curves and artifacts. Imports MLflow on first use."""

import logging
import os
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from infra.settings import Settings, masked_url
from learning.owner import current_owner, is_gone
from schemas.errors import StorageError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

EXPERIMENT = "ers-ml-trainer"
OWNER_TAG = "ers.owner"
METRICS_A_BATCH = 1000  # the most that MLflow takes in one call
PARAMS_A_BATCH = 100
METRIC_DELAY_S = 10.0  # how long a value may wait before it shows in MLflow
MAX_PARAM_CHARS = 6000
MAX_REASON_CHARS = 300
_ENVIRONMENT = {  # what the user has set wins
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


class Tracker:
    """One run at a time in the experiment "ers-ml-trainer" of an MLflow store; no active run, no global address.

    Attributes:
        shown_uri: address of the store, a password in it masked.
        client: MLflow's client of that store and its registry.
        run_id: the run that was started last, "" before.
    """

    def __init__(self, uri: str, client: "MlflowClient", experiment_id: str) -> None:
        self.shown_uri = masked_url(uri)
        self._uri = uri
        self.client = client
        self.run_id = ""
        self._experiment_id = experiment_id
        self._waiting: list[Metric] = []
        self._flushed_s = time.monotonic()

    def start_run(self, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> str:
        """Start a run and return its id.

        Args:
            name: shown in MLflow.
            params: the options of the run; values are shown as text of at most 6000 characters.
            tags: more about the run; the process is added, so that a later one can tell that it was killed.

        Raises:
            StorageError: the store cannot be written.
        """
        from mlflow.entities import Param

        self.flush()
        with self.errors():
            owned = {**tags, OWNER_TAG: current_owner()}
            run = self.client.create_run(self._experiment_id, run_name=name, tags=owned)
            self.run_id = str(run.info.run_id)
            texts = [Param(key, str(value)[:MAX_PARAM_CHARS]) for key, value in params.items()]
            for first in range(0, len(texts), PARAMS_A_BATCH):
                self.client.log_batch(self.run_id, params=texts[first : first + PARAMS_A_BATCH])
        return self.run_id

    def metric(self, name: str, value: float, step: int) -> None:
        """Add a point to the curve `name`; it is written with others, at the latest with `finish` or `fail`."""
        from mlflow.entities import Metric

        self._waiting.append(Metric(name, float(value), int(time.time() * 1000), step))
        if len(self._waiting) >= METRICS_A_BATCH or time.monotonic() - self._flushed_s > METRIC_DELAY_S:
            self.flush()

    def flush(self) -> None:
        """Write the metrics that wait; StorageError when the store cannot be written."""
        with self.errors():
            while self._waiting:
                self.client.log_batch(self.run_id, metrics=self._waiting[:METRICS_A_BATCH])
                del self._waiting[:METRICS_A_BATCH]
        self._flushed_s = time.monotonic()

    def log_artifacts(self, folder: Path, path: str, run_id: str | None = None) -> None:
        """Copy the files of `folder` to `path` among the artifacts of the run; StorageError when that fails."""
        with self.errors():
            self.client.log_artifacts(run_id or self.run_id, str(folder), path)

    def delete_artifacts(self, path: str, run_id: str) -> None:
        """Delete a folder among the artifacts of a run; StorageError when that fails."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with self.errors():
            uri = self.client.get_run(run_id).info.artifact_uri
            repository: Any = get_artifact_repository(uri, tracking_uri=self._uri)
            repository.delete_artifacts(path)

    def download(self, path: str, folder: Path, run_id: str) -> Path | None:
        """Copy a file from among the artifacts of a run into `folder`; return where it is, None when there is none."""
        with self.errors():
            parent = path.rpartition("/")[0]
            if path not in [file.path for file in self.client.list_artifacts(run_id, parent)]:
                return None
            return Path(self.client.download_artifacts(run_id, path, str(folder)))

    def knows_run(self, run_id: str) -> bool:
        """Return whether the store has the run; StorageError when it cannot be asked."""
        return self._status(run_id) is not None

    def ended_without_success(self, run_id: str) -> bool:
        """Return whether the store has the run, as killed or failed; StorageError when it cannot be asked."""
        return self._status(run_id) in ("KILLED", "FAILED")

    def _status(self, run_id: str) -> str | None:
        from mlflow.exceptions import MlflowException

        with self.errors():
            try:
                return str(self.client.get_run(run_id).info.status)
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
                return None

    def finish(self) -> None:
        """Write what waits and mark the run FINISHED; StorageError when the store cannot be written."""
        self._end("FINISHED")

    def fail(self, reason: str) -> None:
        """Write what waits and mark the run FAILED, `reason` as its tag; StorageError when that cannot be written."""
        with self.errors():
            self.client.set_tag(self.run_id, "ers.failure", reason[:MAX_PARAM_CHARS])
        self._end("FAILED")

    def _end(self, status: str) -> None:
        self.flush()
        with self.errors():
            self.client.set_terminated(self.run_id, status)

    def end_killed_runs(self, succeeded: Collection[str]) -> None:
        """Mark the runs of this host that were killed as KILLED, those among `succeeded` as FINISHED."""
        with self.errors():
            for run in self.client.search_runs([self._experiment_id], "attributes.status = 'RUNNING'"):
                if is_gone(run.data.tags.get(OWNER_TAG, "")):
                    status = "FINISHED" if run.info.run_id in succeeded else "KILLED"
                    self.client.set_terminated(run.info.run_id, status)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn the failures of MLflow into a StorageError of one line that names the store."""
        with _storage_errors(self._uri):
            yield


def open_tracker(settings: Settings) -> Tracker:
    """Return a tracker on the MLflow store of `settings`; the store, its folder and the experiment are made if need be.

    Artifacts go to `<ers_home>/mlartifacts`, or where the server keeps them when the address is http(s).

    Raises:
        StorageError: the store or server cannot be reached.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    uri = settings.mlflow_tracking_uri
    is_server = uri.startswith(("http://", "https://"))
    with _storage_errors(uri):
        if not is_server:
            _probe(uri)
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        artifacts = None if is_server else (settings.ers_home.resolve() / "mlartifacts").as_uri()
        with _silent_retries():
            return Tracker(uri, client, _experiment_id(client, artifacts))


def _probe(uri: str) -> None:
    """Fail at once where a database cannot be opened; MLflow would try for a minute and a half first."""
    url = sa.make_url(uri)
    if url.get_backend_name() == "sqlite" and url.database:
        _create_sqlite(Path(url.database))
    engine = sa.create_engine(url)
    try:
        sa.inspect(engine).get_table_names()
    finally:
        engine.dispose()


def _create_sqlite(path: Path) -> None:
    """Make MLflow's tables aside and publish them whole: a store whose making was cut off can never be opened again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlflow-") as work:
        aside = Path(work) / path.name
        MlflowClient(tracking_uri=f"sqlite:///{aside}").search_experiments(max_results=1)
        with suppress(FileExistsError):  # another process may have been first
            path.hardlink_to(aside)


def _experiment_id(client: "MlflowClient", artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        try:
            return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))
        except MlflowException:  # another process may have been first
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                raise
    return str(experiment.experiment_id)


@contextmanager
def _silent_retries() -> Iterator[None]:
    """Leave it to the error to say that a server does not answer; later, a retry is worth a warning."""
    logger = logging.getLogger("urllib3.connectionpool")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _storage_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise _storage_error(uri, getattr(error, "orig", None) or error) from error
    except Exception as error:
        if not _is_mlflow_error(error):
            raise
        raise _storage_error(uri, error) from error


def _is_mlflow_error(error: Exception) -> bool:
    from mlflow.exceptions import MlflowException

    return isinstance(error, MlflowException)


def _storage_error(uri: str, error: Any) -> StorageError:
    shown_uri = masked_url(uri)
    reason = " ".join(str(error).replace(uri, shown_uri).split())[:MAX_REASON_CHARS]
    return StorageError(f"MLflow {shown_uri}: {reason}; check MLFLOW_TRACKING_URI, and that it can be written")
