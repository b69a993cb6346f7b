"""What is known of a run before it learns, and what it leaves to look at: tags, the data it read, and its report."""

import getpass
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.bundle import BundleMetadata
from schemas.trace import Trace
from tasks.reports.write import PLOTS
from tasks.tracking.descriptions import run_description
from tasks.tracking.tracker import Tracker

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

PROJECT = Path(__file__).resolve().parents[2]
LIBRARIES = ("mlflow", "numba", "numpy", "stable-baselines3", "torch")
FINGERPRINT_CHARS = 32  # of 64: MLflow takes a digest of 36


def run_tags(command: str) -> dict[str, str]:
    """Return which code runs, with which libraries, started by whom.

    Args:
        command: that was given, e.g. "python -m flows train".
    """
    from mlflow.utils.git_utils import get_git_commit

    commit = get_git_commit(str(PROJECT))  # none where the project is no checkout
    return {
        "mlflow.user": user_name(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": command,
        **({"mlflow.source.git.commit": commit} if commit else {}),
        "version.python": python_version(),
        **{f"version.{name}": library_version(name) for name in LIBRARIES},
    }


def user_name() -> str:
    """Return the name of the user who runs this process; "unknown" where the system has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # e.g. a container that runs as a number
        return "unknown"


def log_data(tracker: Tracker, trace: Trace, training: int, name: str, source: Mapping[str, Any]) -> None:
    """Note the requests that the run reads, once as what it trains on, once as what it is judged on.

    Args:
        tracker: with the run.
        trace: all of them.
        training: how many of them, the earliest, are learned from.
        name: of the data, as people call it.
        source: where they are: address without password, table and so on.

    Raises:
        StorageError: MLflow cannot be written.
    """
    spans = {"training": slice(0, training), "evaluation": slice(training, len(trace))}
    tracker.inputs([_dataset(trace, span, context, name, source) for context, span in spans.items()])


def _dataset(trace: Trace, span: slice, context: str, name: str, source: Mapping[str, Any]) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    timestamp_s = trace.timestamp_s[span]
    profile = {
        "num_rows": len(timestamp_s),
        "distinct_keys": int(np.unique(trace.key[span]).size),
        "first": _moment(timestamp_s[0]),
        "last": _moment(timestamp_s[-1]),
        "fingerprint": trace.sha256,
    }
    dataset = Dataset(
        name=name,
        digest=f"{trace.sha256[:FINGERPRINT_CHARS]}-{context[0]}",  # MLflow keeps one of a name and digest a run
        source_type="sql",
        source=json.dumps(source, default=str),
        schema=json.dumps({"mlflow_colspec": _columns(trace)}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def _columns(trace: Trace) -> list[dict[str, str]]:
    kinds = {
        "timestamp_s": "double",
        "key": "long",
        "size_bytes": "long",
        "load_time_ms": "float",
        "endpoint": "integer",
    }
    kinds |= dict.fromkeys(trace.column_names, "float") | dict.fromkeys(trace.text_names, "string")
    return [{"name": name, "type": kind} for name, kind in kinds.items()]


def _moment(timestamp_s: float) -> str:
    return datetime.fromtimestamp(float(timestamp_s), UTC).isoformat()


def log_report(tracker: Tracker, folder: Path, metadata: BundleMetadata, made_by: str | None = None) -> None:
    """Show the result: the description of the run, the files of the report, and its plots among the charts.

    The files lie at the top of the artifacts, where MLflow's page that compares runs shows them side by side.

    Args:
        tracker: with the run.
        folder: of the report.
        metadata: of the policy that was trained.
        made_by: address of the run of Prefect; None where nobody can look at it.

    Raises:
        StorageError: MLflow cannot be written.
    """
    describe_run(tracker, run_description(metadata), made_by)
    tracker.log_artifacts(folder)
    for name in PLOTS:
        tracker.image(folder / name, f"plots/{Path(name).stem}")


def describe_run(tracker: Tracker, text: str, made_by: str | None) -> None:
    """Make a text in Markdown the description of the run, with the way to the run of Prefect where there is one.

    Raises:
        StorageError: MLflow cannot be written.
    """
    way_back = f"\n\nMade by [this run of Prefect]({made_by})." if made_by else ""
    tracker.tag("mlflow.note.content", text + way_back)
