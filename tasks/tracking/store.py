"""The MLflow store: opened, made where it is missing, and its failures as errors of one line."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from infra.settings import Settings, masked_url
from schemas.errors import StorageError

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "ers-ml-trainer"
EXPERIMENT_TAGS = {  # what a user has set wins
    "mlflow.experimentKind": "custom_model_development",  # the pages of training runs, not those of language models
    "mlflow.note.content": """\
Each run trained a policy that decides what a cache keeps, and judged it on later requests than it had learned from.

| section | what it holds |
|---|---|
| `curves/` | the training: mean `reward` of a decision, `loss`, hit ratios on the training span |
| `plots/` | pictures of the scores, the held-out time and the training |
| `test/` | the learned policy on the held-out requests |
| `test_variants/` | other ways to run it: MEASURE.POLICY |
| `test_baselines/`, `test_bounds/` | what it is compared with, and what knows the future: MEASURE.POLICY |
| `test_comparisons/` | differences in value ratio with 95 % intervals: PART.POLICY.OTHER |
| `validation/` | rows that were checked, and how far each feature drifted (PSI) |

Look first at `test/value_ratio` (what the hits are worth, of all requests; the hit ratio, unless hits are weighed),
`test/over_best` with `_low` and `_high` (difference to the best baseline in hindsight; clear where both ends lie on
one side of 0) and `test/gap_closed` (share of the way from LRU to the bound that nothing exceeds).

Compare runs of one decision on the same data: `tags.decision = "eviction"`, and the column Dataset.
""",
}
MAX_REASON_CHARS = 300
_ENVIRONMENT = {  # what the user has set wins
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # where the flow's result goes
    "GIT_PYTHON_REFRESH": "quiet",  # git need not be installed
}


def open_store(settings: Settings) -> tuple["MlflowClient", str]:
    """Return a client of the MLflow store of `settings` and the id of our experiment, which are made if need be.

    Artifacts go to `<ers_home>/mlartifacts`, or where the server keeps them when the address is http(s).

    Raises:
        StorageError: the store or server cannot be reached.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    uri = settings.mlflow_tracking_uri
    is_server = uri.startswith(("http://", "https://"))
    with mlflow_errors(uri):
        if not is_server:
            _probe(uri)
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        artifacts = None if is_server else (settings.ers_home.resolve() / "mlartifacts").as_uri()
        with _silent_retries():
            return client, _experiment_id(client, artifacts)


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
            return str(client.create_experiment(EXPERIMENT, artifacts, EXPERIMENT_TAGS))
        except MlflowException:  # another process may have been first
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                raise
    for name in EXPERIMENT_TAGS.keys() - experiment.tags.keys():
        client.set_experiment_tag(experiment.experiment_id, name, EXPERIMENT_TAGS[name])
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


def publish_files(source: Path, target: Path, aside: Path) -> None:
    """Copy the files of the folder `source` to `target`: first all to `aside`, beside it, then each whole.

    A disk that is full changes nothing in `target`. What an earlier call left in `aside` is removed.

    Raises:
        OSError: they cannot be written.
    """
    try:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(source, aside)
        for file in sorted(path for path in aside.rglob("*") if path.is_file()):
            place = target / file.relative_to(aside)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def mlflow_errors(uri: str) -> Iterator[None]:
    """Turn the failures of the MLflow store at `uri` into a StorageError of one line, a password in it masked.

    MLflow quotes the address, so what it raised is kept from tracebacks and logs where that has a password.
    """
    secret = masked_url(uri) != uri
    try:
        yield
    except Exception as error:
        if not (isinstance(error, SQLAlchemyError | OSError) or _is_mlflow_error(error)):
            raise
        raise _storage_error(uri, getattr(error, "orig", None) or error) from (None if secret else error)


def _is_mlflow_error(error: Exception) -> bool:
    from mlflow.exceptions import MlflowException

    return isinstance(error, MlflowException)


def _storage_error(uri: str, error: Any) -> StorageError:
    if isinstance(error, shutil.Error):  # one of several files: (from, to, reason) each
        error = error.args[0][0][2]
    shown_uri = masked_url(uri)
    reason = " ".join(str(error).replace(uri, shown_uri).split())[:MAX_REASON_CHARS]
    return StorageError(f"MLflow {shown_uri}: {reason}; check MLFLOW_TRACKING_URI, and that it can be written")
