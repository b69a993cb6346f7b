"""How flows run: Prefect set up and kept quiet, flows and tasks made from plain functions, progress on stderr.

Prefect and MLflow read the environment when they are imported, so neither is imported before `configure` ran.
"""

import functools
import importlib
import inspect
import logging
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

from flows.engine import run_page
from flows.engine.local_server import LocalServer
from infra.environment import library_variables, use_own_temporary_folder
from infra.settings import Settings, load_settings
from schemas.errors import ErsError, StorageError
from schemas.options.train import Config, FlowConfig, TrainConfig, parse
from tasks.steps import RUN_LOG

if TYPE_CHECKING:
    from prefect import Flow, Task

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
ReportProgress = Callable[[int, int | None], None]

LINE_INTERVAL_S = 10.0
REACH_TIMEOUT_S = 10.0
DRAIN_TIMEOUT_S = 10.0
STORAGE_RETRIES = 2  # of a task that a database or MLflow may fail
RETRY_DELAYS_S = (1.0, 5.0, 20.0)
HIDDEN_FROM_LEVEL = {
    "prefect.flow_runs": logging.ERROR,
    "prefect.task_runs": logging.ERROR,
    "prefect.engine": logging.ERROR,
    "EventsWorker": logging.WARNING,
}


def configure(settings: Settings) -> None:
    """Set the variables that libraries read when they are imported, and how runs are logged.

    What is set wins, but for the folder of temporary files, which is this installation's own.

    Raises:
        StorageError: that folder cannot be made.
    """
    variables = library_variables(settings.ers_home) | {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING"}
    if settings.prefect_api_url:
        variables["PREFECT_API_URL"] = settings.prefect_api_url
    for name, value in variables.items():
        os.environ.setdefault(name, value)
    use_own_temporary_folder(settings)
    run_page.quieten()


def run_flow(name: str, config: FlowConfig) -> tuple[dict[str, Any], str]:
    """Run the flow `name` with `config` in this process; return its result, which is JSON, and the same as text.

    It reports to the Prefect server at PREFECT_API_URL, or to one that lives as long as the call.

    Raises:
        StorageError: the Prefect server cannot be reached.
        ErsError: what the flow raised.
    """
    settings = load_settings()
    configure(settings)
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)  # Prefect would make its last folder only
    with _kernels(config), _prefect_api(settings) as wait_for_api:
        module = importlib.import_module(f"flows.{name}")
        wait_for_api()
        try:
            result: dict[str, Any] = _call(getattr(module, name), config)
        except ErsError as error:
            if error.result is not None:
                error.text = module.summary(error.result)
            raise
    return result, module.summary(result)


@contextmanager
def _kernels(config: FlowConfig) -> Iterator[None]:
    """Begin with the kernels that a training needs before the imports, which take as long as compiling them."""
    if not isinstance(config, TrainConfig):
        yield
        return
    from flows.engine.kernels import kernels_on_the_way

    with kernels_on_the_way():
        yield


def run_plain(name: str, config: FlowConfig) -> tuple[dict[str, Any], str]:
    """Run the plain command `name`: as `run_flow`, but with neither Prefect nor a server."""
    module = importlib.import_module(f"flows.commands.{name}")
    result: dict[str, Any] = getattr(module, name)(config)
    return result, module.summary(result)


def _call(flow: Callable[..., dict[str, Any]], config: FlowConfig) -> dict[str, Any]:
    import httpx
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_news)
    try:
        # Heartbeats tell of runs of deployments that died; to end them takes Prefect a second in each flow.
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            return flow(**config.model_dump())
    except httpx.HTTPError as error:
        raise StorageError(
            f"Prefect server {os.environ['PREFECT_API_URL']}: {error or type(error).__name__}"
        ) from error
    finally:
        EventsWorker.drain_all(timeout=DRAIN_TIMEOUT_S)  # the states of tasks are on their way


def _is_news(record: logging.LogRecord) -> bool:
    """Tell whether a log record of Prefect is for the console. What a run raised is not: the caller reports it."""
    lowest_hidden = HIDDEN_FROM_LEVEL.get(record.name)
    return lowest_hidden is None or record.levelno < lowest_hidden


@contextmanager
def _prefect_api(settings: Settings) -> Iterator[Callable[[], None]]:
    """Make sure that there is a Prefect server; yield a function that waits until it answers."""
    if settings.prefect_api_url:
        yield functools.partial(_reach, settings.prefect_api_url)
        return
    os.environ["PREFECT_LOGGING_TO_API_ENABLED"] = "false"
    with LocalServer(Path(os.environ["PREFECT_HOME"])) as server:
        os.environ["PREFECT_API_URL"] = server.api_url
        try:
            yield server.wait
        finally:
            del os.environ["PREFECT_API_URL"]


def _reach(api_url: str) -> None:
    try:
        with urllib.request.urlopen(f"{api_url.rstrip('/')}/health", timeout=REACH_TIMEOUT_S):
            return
    except urllib.error.HTTPError as answer:
        answer.close()
        return  # it answers, and may want to be asked with a key
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise StorageError(
            f"Prefect server {api_url} cannot be reached ({reason}): start it, or unset PREFECT_API_URL"
        ) from error


def config_flow(config: type[Config]) -> Callable[[Callable[[Config], dict[str, Any]]], "Flow[..., dict[str, Any]]"]:
    """Return a decorator that makes a Prefect flow of a function of a `config`.

    The flow takes the fields of `config` as its parameters, with their types, ranges, defaults and descriptions, so
    that a deployment takes `-p timesteps=50000` and the command line the same option. It returns JSON.
    """
    from prefect import flow

    def decorate(body: Callable[[Config], dict[str, Any]]) -> "Flow[..., dict[str, Any]]":
        @functools.wraps(body)
        def run(**options: Any) -> Any:
            try:
                configure(load_settings())
                result = body(parse(config, options))
            except ErsError as error:
                return run_page.failed(error)
            if run_page.is_watched():
                run_page.publish(f"{name}-result", _page(name, result), f"What came of {name}")
            return result

        name = body.__name__
        run.__signature__ = _signature(config)  # type: ignore[attr-defined]
        run.__doc__ = _docstring(body, config)
        # `parse` checks the parameters, and says what is wrong in one line.
        return flow(name=name, flow_run_name=run_page.run_name(name), validate_parameters=False, persist_result=False)(
            run
        )

    return decorate


def _page(flow: str, result: dict[str, Any]) -> str:
    """Return the result of a flow as Markdown: by `page` of its module, or else what the command line would print."""
    module = importlib.import_module(f"flows.{flow}")
    if hasattr(module, "page"):
        return str(module.page(result))
    return "\n\n".join([f"```\n{module.summary(result)}\n```", *run_page.plots(result.get("report"))])


def _signature(config: type[FlowConfig]) -> inspect.Signature:
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation,
                default=inspect.Parameter.empty if field.is_required() else field.default,
            )
            for name, field in config.model_fields.items()
        ]
    )


def _docstring(body: Callable[..., object], config: type[FlowConfig]) -> str:
    arguments = [f"    {name}: {field.description}" for name, field in config.model_fields.items()]
    return "\n".join([inspect.getdoc(body) or "", "", "Args:", *arguments])


def io_task(
    body: Callable[Parameters, Result], *, retries: int = 0, name: str | None = None, run_name: str | None = None
) -> "Task[Parameters, Result]":
    """Return `body` as a Prefect task that is never cached and whose arguments and result stay in memory.

    Args:
        body: a function with side effects that may be repeated.
        retries: how often to repeat it, after 1, 5 and 20 s, when storage fails; nothing else is repeated.
        name: in Prefect's pages; None = that of the function.
        run_name: the same of one run, with its arguments in braces; None = `name`.
    """
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    title = name or body.__name__.replace("_", " ")
    return task(
        name=title,
        task_run_name=run_name or title,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=retries,
        retry_delay_seconds=list(RETRY_DELAYS_S[: max(retries, 1)]),
        retry_condition_fn=_storage_failed,
    )(body)


def _storage_failed(_task: object, _run: object, state: Any) -> bool:
    return isinstance(state.result(raise_on_failure=False), StorageError | OSError)


def say(text: str) -> None:
    """Write a line on what is going on to stderr and to the log of the run."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
    RUN_LOG.info(text)


@contextmanager
def progress(label: str, unit: str) -> Iterator[ReportProgress]:
    """Show how far something is, on stderr and on the page of the run.

    On stderr it is a bar with the time left, or a line each 10 s where that is no terminal.

    Yields:
        a function to call with what is done and what is to do, in `unit`; None where that is unknown.
    """
    with _on_stderr(label, unit) as write, run_page.progress(label, unit) as show:

        def report(done: int, total: int | None) -> None:
            write(done, total)
            show(done, total)

        yield report


@contextmanager
def _on_stderr(label: str, unit: str) -> Iterator[ReportProgress]:
    from tqdm import tqdm

    if not sys.stderr.isatty():
        yield _line_reporter(label, unit)
        return
    with tqdm(desc=label, unit=f" {unit}", unit_scale=True, leave=False, file=sys.stderr) as bar:

        def report(done: int, total: int | None) -> None:
            if bar.total is None:  # what was done before this began tells nothing about its speed
                bar.initial = bar.n = done
            bar.total = total
            bar.update(done - bar.n)

        yield report


def _line_reporter(label: str, unit: str) -> ReportProgress:
    from tqdm import tqdm

    start_s = last_s = time.monotonic()
    initial: int | None = None

    def report(done: int, total: int | None) -> None:
        nonlocal last_s, initial
        initial = done if initial is None else initial  # what was done before this began tells nothing about its speed
        now_s = time.monotonic()
        if now_s - last_s >= LINE_INTERVAL_S:
            last_s = now_s
            say(
                tqdm.format_meter(
                    done,
                    total,
                    now_s - start_s,
                    prefix=label,
                    unit=f" {unit}",
                    unit_scale=True,
                    ncols=0,
                    initial=initial,
                )
            )

    return report
