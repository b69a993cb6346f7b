"""What the page of a run in Prefect shows beside its tasks: how far it is, its result, and the way to MLflow.

All of it is for people who look: where the server ends with the process nothing is sent, and a server that does not
answer ends no run.
"""

import base64
import io
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import UUID

from schemas.errors import ErsError
from tasks.steps import RUN_LOG
from tasks.tracking.tracker import Tracker

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

PROGRESS_INTERVAL_S = 3.0
COLOURS = 64  # of a picture in a page: plots have few
ENGINE_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def is_watched() -> bool:
    """Return whether this is a run on a server that people look at, rather than on one of the process's own."""
    if "prefect" not in sys.modules:
        return False  # no flow runs here
    from prefect.context import FlowRunContext
    from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED

    return FlowRunContext.get() is not None and bool(PREFECT_LOGGING_TO_API_ENABLED.value())


def run_name(flow: str) -> Callable[[], str]:
    """Return what names the runs of a flow: the flow, what is learned if anything is, and the moment."""

    def name() -> str:
        from prefect.runtime import flow_run

        parameters = flow_run.get_parameters()
        known = [str(parameters[part]) for part in ("decision", "algorithm") if parameters.get(part)]
        return "-".join([flow, *known, f"{datetime.now(UTC):%Y%m%d-%H%M%S}"])

    return name


def address() -> str | None:
    """Return where the run can be looked at, if anywhere."""
    from prefect.runtime import flow_run

    return flow_run.get_flow_run_ui_url() if is_watched() else None


def failed(error: ErsError) -> "State[object]":
    """Return the state of a run that ended with `error`: its one line is the reason, and callers get it raised."""
    from prefect.states import Failed

    return Failed(message=" ".join(str(error).split()), data=error)


def quieten() -> None:
    """Let what is meant for users show in the logs of runs as its line, without the traceback."""
    RUN_LOG.setLevel(logging.INFO)
    for name in ENGINE_LOGGERS:
        logging.getLogger(name).addFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], ErsError):
        record.exc_info = record.exc_text = None
    return True


def publish(key: str, markdown: str, description: str) -> None:
    """Show a page of Markdown with the run."""
    if not is_watched():
        return
    from prefect.artifacts import create_markdown_artifact

    with _unheard(f"its page {key} is missing"):
        create_markdown_artifact(markdown, key=key, description=description)


def link_to_mlflow(tracker: Tracker) -> None:
    """Show the way from the run to its run in MLflow; see `address` for the way back."""
    if not is_watched():
        return
    from prefect.artifacts import create_link_artifact

    if page := tracker.run_page():
        with _unheard("its link to MLflow is missing"):
            create_link_artifact(page, link_text="The run in MLflow", key="mlflow-run", description="MLflow run")


@contextmanager
def progress(label: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show how far something is as a bar of the run, once it takes more than some seconds.

    Yields:
        a function to call with what is done and what is to do, in `unit`.
    """
    if not is_watched():
        yield lambda _done, _total: None
        return
    bar = _Bar(label, unit)
    yield bar.report
    bar.end()


class _Bar:
    """A progress artifact, made when it is first due and brought up to date every `PROGRESS_INTERVAL_S`."""

    def __init__(self, label: str, unit: str) -> None:
        self._label, self._unit = label, unit
        self._shown_s = time.monotonic()
        self._id: UUID | None = None

    def report(self, done: int, total: int | None) -> None:
        now_s = time.monotonic()
        if total and now_s - self._shown_s >= PROGRESS_INTERVAL_S:
            self._shown_s = now_s
            self._show(100.0 * min(done / total, 1.0), f"{self._label}: {done:,} of {total:,} {self._unit}")

    def end(self) -> None:
        if self._id is not None:
            self._show(100.0, f"{self._label}: done")

    def _show(self, percent: float, description: str) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        with _unheard("its progress is not up to date"):
            if self._id is None:
                self._id = cast("UUID", create_progress_artifact(percent, f"{self._label}-progress", description))
            else:
                update_progress_artifact(self._id, percent, description)


@contextmanager
def _unheard(consequence: str) -> Iterator[None]:
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        yield
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        reason = str(error).splitlines() or [type(error).__name__]
        RUN_LOG.warning("Prefect's server did not take what this run shows, so %s: %s", consequence, reason[0])


def plots(report: str | None) -> list[str]:
    """Return the plots of a report, a folder, as parts of a page of Markdown; none where there is no report."""
    return [picture(path, path.stem) for path in sorted(Path(report).glob("*.png"))] if report else []


def picture(path: Path, title: str) -> str:
    """Return the PNG at `path` as part of a page of Markdown, whole, so that it shows as long as the page does."""
    from PIL import Image

    packed = io.BytesIO()
    with Image.open(path) as plot:
        plot.convert("RGB").quantize(COLOURS).save(packed, "PNG", optimize=True)
    return f"![{title}](data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()})"
