"""MLflow tracking: runs of one experiment with parameters, metric curves and artifacts. Imports MLflow on first use."""

import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from infra.settings import Settings, masked_url
from support.process_owner import current_owner, is_gone
from tasks.tracking.store import mlflow_errors, open_store, publish_files

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Run

OWNER_TAG = "ers.owner"
PARENT_TAG = "mlflow.parentRunId"  # MLflow's pages show a run below the one that this names
GIVEN_RUN = "MLFLOW_RUN_ID"  # of the environment: the run that `mlflow run` made for the process
METRICS_A_BATCH = 1000  # the most that MLflow takes in one call
PARAMS_A_BATCH = 100
RUNS_A_PAGE = 1_000
METRIC_DELAY_S = 10.0  # how long a value may wait before it shows in MLflow
MAX_PARAM_CHARS = 6000
ASIDE = ".aside"  # beside the artifacts of a run: files on their way there
_UNSET: tuple[object, ...] = (None, (), [], {})


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
        self._adopted = ""
        self._known_params: frozenset[str] = frozenset()
        self._waiting: list[Metric] = []
        self._flushed_s = time.monotonic()

    def adopt(self, run_id: str) -> None:
        """Let the next `start_run` go on in this run rather than make one."""
        self._adopted = run_id

    def start_run(
        self, name: str, params: Mapping[str, object], tags: Mapping[str, str], parent: str | None = None
    ) -> str:
        """Start a run and return its id.

        Args:
            name: shown in MLflow.
            params: the options of the run, see `params`.
            tags: more about the run; the process is added, so that a later one can tell that it was killed.
            parent: the run below which this one is shown, in its experiment; None = it stands alone.

        Raises:
            StorageError: the store cannot be written.
        """
        self.flush()
        with self.errors():
            owned = {**tags, OWNER_TAG: current_owner()}
            run = self._go_on(name, owned) if self._adopted and not parent else self._create(name, owned, parent)
            self.run_id = str(run.info.run_id)
            self._known_params = frozenset(run.data.params)
        self.params(params)
        return self.run_id

    def _create(self, name: str, tags: dict[str, str], parent: str | None) -> "Run":
        experiment_id = self._experiment_id
        if parent is not None:
            experiment_id = self.client.get_run(parent).info.experiment_id
            tags = {**tags, PARENT_TAG: parent}
        return self.client.create_run(experiment_id, run_name=name, tags=tags)

    def _go_on(self, name: str, tags: dict[str, str]) -> "Run":
        """Return the run that was adopted, running. What MLflow itself noted of it stays."""
        from mlflow.entities import RunTag

        run, self._adopted = self.client.get_run(self._adopted), ""
        new = {tag: text for tag, text in tags.items() if not (tag.startswith("mlflow.") and tag in run.data.tags)}
        self.client.update_run(run.info.run_id, status="RUNNING", name=name)
        self.client.log_batch(run.info.run_id, tags=[RunTag(tag, text) for tag, text in new.items()])
        return run

    def params(self, values: Mapping[str, object]) -> None:
        """Add parameters, as text of at most 6000 characters; what is unset (None, empty) is left out.

        Those that a run had when it was adopted stay as they were written.

        Raises:
            StorageError: the store cannot be written, or has one of them with another value.
        """
        from mlflow.entities import Param

        new = {key: value for key, value in values.items() if value not in _UNSET and key not in self._known_params}
        texts = [Param(key, _shown(value)) for key, value in new.items()]
        with self.errors():
            for first in range(0, len(texts), PARAMS_A_BATCH):
                self.client.log_batch(self.run_id, params=texts[first : first + PARAMS_A_BATCH])

    def tag(self, name: str, value: str) -> None:
        """Set a tag of the run; StorageError when the store cannot be written."""
        with self.errors():
            self.client.set_tag(self.run_id, name, value)

    def inputs(self, datasets: "Sequence[DatasetInput]") -> None:
        """Note what the run read; StorageError when the store cannot be written."""
        with self.errors():
            self.client.log_inputs(self.run_id, datasets)

    def image(self, path: Path, key: str) -> None:
        """Show the picture at `path` among the charts, those of several runs together; StorageError when that fails."""
        from PIL import Image

        with self.errors(), Image.open(path) as picture:
            self.client.log_image(self.run_id, picture, key=key, step=0)

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

    def log_artifacts(self, folder: Path, path: str = "", run_id: str | None = None) -> None:
        """Copy the files of `folder` to `path` among the artifacts of the run.

        Where the store keeps artifacts in a folder, each file appears whole, and none unless there is room for all.

        Raises:
            StorageError: they cannot be written.
        """
        run_id = run_id or self.run_id
        with self.errors():
            place = urlsplit(self.client.get_run(run_id).info.artifact_uri)
            if place.scheme not in ("", "file"):
                self.client.log_artifacts(run_id, str(folder), path or None)
                return
            root = Path(url2pathname(place.path))
            root.parent.mkdir(parents=True, exist_ok=True)
            publish_files(folder, root / path, root.with_name(ASIDE))

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

    def run_page(self) -> str | None:
        """Return the address of the page of the run; None where no server shows it."""
        place = urlsplit(self._uri)
        if place.scheme not in ("http", "https"):
            return None
        server = place._replace(netloc=place.netloc.rpartition("@")[2]).geturl().rstrip("/")
        return f"{server}/#/experiments/{self._experiment_id}/runs/{self.run_id}"

    def runs(self, tags: Mapping[str, str], beside: str | None = None) -> "list[Run]":
        """Return the runs with all of these tags, the latest first; StorageError when the store cannot be asked.

        Args:
            tags: name and text of each.
            beside: look in the experiment of this run; None = in ours.
        """
        condition = " and ".join(f"tags.`{name}` = '{text}'" for name, text in tags.items())
        found: list[Run] = []
        token: str | None = ""
        with self.errors():
            place = self._experiment_id if beside is None else self.client.get_run(beside).info.experiment_id
            while token is not None:
                page = self.client.search_runs([place], condition, max_results=RUNS_A_PAGE, page_token=token or None)
                found += page
                token = page.token or None
        return found

    def curve(self, run_id: str, name: str) -> list[float]:
        """Return the points of a curve of a run, in order; StorageError when the store cannot be asked."""
        with self.errors():
            points = self.client.get_metric_history(run_id, name)
        return [point.value for point in sorted(points, key=lambda point: (point.step, point.timestamp))]

    def kill(self, run_id: str) -> None:
        """Mark another run as KILLED; StorageError when the store cannot be written."""
        with self.errors():
            self.client.set_terminated(run_id, "KILLED")

    def knows_run(self, run_id: str) -> bool:
        """Return whether the store has the run; StorageError when it cannot be asked."""
        return self._status(run_id) is not None

    def is_running(self, run_id: str) -> bool:
        """Return whether the store has the run, as running; StorageError when it cannot be asked."""
        return self._status(run_id) == "RUNNING"

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

    def fail(self, reason: str, *, killed: bool = False) -> None:
        """Write what waits and mark the run FAILED or KILLED, `reason` as its tag.

        Raises:
            StorageError: that cannot be written.
        """
        with self.errors():
            self.client.set_tag(self.run_id, "ers.failure", reason[:MAX_PARAM_CHARS])
        self._end("KILLED" if killed else "FAILED")

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
        with mlflow_errors(self._uri):
            yield


def open_tracker(settings: Settings) -> Tracker:
    """Return a tracker on the MLflow store of `settings`; see `tasks.tracking.store.open_store`.

    Where `mlflow run` started this process, the first run that is started is the one which it made.

    Raises:
        StorageError: the store or server cannot be reached.
    """
    tracker = Tracker(settings.mlflow_tracking_uri, *open_store(settings))
    given = os.environ.get(GIVEN_RUN)
    if given and tracker.is_running(given):
        tracker.adopt(given)
    os.environ.pop(GIVEN_RUN, None)  # for one run, and for none of a process that this one starts
    return tracker


def _shown(value: object) -> str:
    """Return a parameter as people write it: lists and mappings as on the command line."""
    if isinstance(value, Mapping):
        value = ",".join(f"{name}={one}" for name, one in value.items())
    elif isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    return str(value)[:MAX_PARAM_CHARS]
