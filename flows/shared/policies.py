"""What the flows share that judge finished policies: which policy, on which requests, and a run in MLflow."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from flows.engine import run_page
from flows.engine.runtime import STORAGE_RETRIES, io_task
from flows.shared.requests import Requests, StepClock, read_requests
from infra.settings import Settings
from learning.bundle.load import LoadedBundle, load_bundle
from schemas.bundle import BundleMetadata
from schemas.errors import StorageError, TraceError
from schemas.options.evaluate import CHAMPION, JudgedReadConfig, PolicyChoice
from schemas.options.train import ReadConfig, needed_for
from tasks.extract.read import absent_columns
from tasks.registry.bundles import fetch_bundle
from tasks.registry.choose import choose_version
from tasks.registry.sql_side import Version
from tasks.tracking.tracker import Tracker, open_tracker


@dataclass(frozen=True)
class Chosen:
    """A policy that was asked for: its bundle, and the version it was registered as, if it was asked for as one."""

    bundle: LoadedBundle
    version: Version | None

    @property
    def label(self) -> str:
        """Name it in a few characters, for runs and folders."""
        which = str(self.version.version) if self.version else self.bundle.sha256[:8]
        return f"{self.bundle.metadata.decision}-{which}"

    @property
    def title(self) -> str:
        """Name it in a sentence."""
        return self.version.title if self.version else str(self.bundle.folder)


def choose_policy(
    engine: sa.Engine, settings: Settings, choice: PolicyChoice, tracker: Tracker | None = None
) -> Chosen:
    """Return the policy that was asked for, its bundle checked. Without a tracker MLflow is opened where it is needed.

    Raises:
        ConfigError: there is no such version.
        BundleError: the bundle is not whole, or not the one that was registered.
        StorageError: a store failed.
    """
    if choice.bundle is not None:
        return Chosen(load_bundle(Path(choice.bundle)), None)
    version = choose_version(engine, choice.decision or "eviction", choice.version or CHAMPION)
    fetch = io_task(fetch_bundle, retries=STORAGE_RETRIES)
    return Chosen(fetch(tracker or open_store(settings), version, settings.ers_home), version)


def open_store(settings: Settings) -> Tracker:
    """Return a tracker on the MLflow store; StorageError when it cannot be reached."""
    return io_task(open_tracker, retries=STORAGE_RETRIES, name="open MLflow")(settings)


def read_judged(
    engine: sa.Engine,
    settings: Settings,
    config: ReadConfig,
    bundles: Sequence[BundleMetadata],
    clock: StepClock,
    in_bytes: bool,
) -> Requests:
    """Return the validated requests on which policies are judged, with all columns that any of them was trained on.

    Columns are taken as they are: what they hold was judged when the policies were trained.

    Args:
        engine: of `open_database`.
        settings: where the report of the validation goes.
        config: which requests.
        bundles: of the policies, the one whose objective judges first.
        clock: times the steps.
        in_bytes: whether the capacity is in bytes.

    Raises:
        TraceError: the table lacks a column that a policy was trained on.
        InputError, UnfitError, StorageError: see `read_requests`.
    """
    columns = columns_of(engine, config.table, bundles)
    options = {name: getattr(config, name) for name in ReadConfig.model_fields}
    read = JudgedReadConfig(**options, columns=needed_for(bundles[0].objective, in_bytes=in_bytes))
    return read_requests(engine, settings, read, clock, columns, training_requests=None)


def columns_of(engine: sa.Engine, table: str, bundles: Sequence[BundleMetadata]) -> tuple[str, ...]:
    """Return the columns that any of the policies was trained on; TraceError when the table lacks one."""
    columns = tuple(dict.fromkeys(name for bundle in bundles for name in bundle.feature_columns))
    if absent := absent_columns(engine, table, columns):
        raise TraceError(
            f"table {table} lacks {', '.join(absent)}, which the policy was trained on; "
            "add the columns, or read a table that has them"
        )
    return columns


@contextmanager
def tracked(tracker: Tracker, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> Iterator[str]:
    """Start a run in MLflow and yield its id; it ends as FINISHED, FAILED, or, when it is told to stop, KILLED."""
    run_id = tracker.start_run(name, params, tags)
    run_page.link_to_mlflow(tracker)
    try:
        yield run_id
    except BaseException as error:
        with suppress(StorageError):  # where MLflow itself fails, the first failure is the one to tell
            tracker.fail(str(error) or type(error).__name__, killed=not isinstance(error, Exception))
        raise
    tracker.finish()
