"""Where tasks run side by side: threads, processes or Dask, by Prefect's own task runners, and what is lost with one.

The same task runs on each. One whose worker ended is given to another: together with the others that were lost, and
the last time alone, so that a task that ends its worker takes no others along.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from multiprocessing.connection import wait
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from schemas.errors import ServerError

if TYPE_CHECKING:
    from prefect import Task
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner

THREADS, PROCESSES, DASK = "threads", "processes", "dask"
ATTEMPTS = 3
CONNECT_TIMEOUT = "10s"
Job = TypeVar("Job")
Result = TypeVar("Result")


class WorkerLostError(Exception):
    """The worker of a task ended before the task did."""


class Workers(Generic[Job, Result]):
    """Runs a task for many jobs.

    Args:
        task: takes one argument, `job`, and may be repeated.
        kind: threads, processes, dask, or the address of a Dask scheduler.
        parallel: jobs at once; a cluster that was there before has its own number.
    """

    def __init__(self, task: "Task[[Job], Result]", kind: str, parallel: int) -> None:
        self._task, self._kind, self._parallel = task, kind, parallel
        self._runner: TaskRunner[Any] = _runner(kind, parallel)

    def __enter__(self) -> Self:
        self._runner.__enter__()
        if self._kind not in (THREADS, PROCESSES):
            self._reach()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._kind == PROCESSES:
            for process in multiprocessing.active_children():
                process.kill()  # or they would be waited for
        self._runner.__exit__(kind, error, trace)

    def _reach(self) -> None:
        """Raise ServerError unless the Dask scheduler answers and has workers."""
        runner: Any = self._runner
        try:
            workers = runner.client.scheduler_info()["workers"]
        except OSError as error:
            self._runner.__exit__(None, None, None)
            raise ServerError(
                f"ERS_TASK_RUNNER: no Dask scheduler answers at {self._kind}; start one, or take processes"
            ) from error
        if not workers:
            self._runner.__exit__(None, None, None)
            raise ServerError(f"ERS_TASK_RUNNER: the Dask scheduler at {self._kind} has no workers; start some")

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Result | BaseException]]:
        """Yield each job with its result, or with what it raised; WorkerLostError where its worker ended each time."""
        pending = list(jobs)
        for attempt in range(1, ATTEMPTS + 1):
            lost: list[Job] = []
            for batch in [[job] for job in pending] if attempt == ATTEMPTS else [pending]:
                for job, found in self._run_once(batch):
                    if isinstance(found, WorkerLostError) and attempt < ATTEMPTS:
                        lost.append(job)
                    else:
                        yield job, found
            pending = lost

    def _run_once(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Result | BaseException]]:
        futures = [self._submit(job) for job in jobs]
        broken = False
        for job, future in zip(jobs, futures, strict=True):
            found = _outcome(future)
            broken = broken or isinstance(found, WorkerLostError)
            yield job, found
        if broken:
            self._renew()

    def _submit(self, job: Job) -> "PrefectFuture[Result]":
        future: PrefectFuture[Result] = self._runner.submit(self._task, {"job": job})
        return future

    def _renew(self) -> None:
        """Begin with new processes: a pool that lost one takes no more jobs."""
        if self._kind == PROCESSES:
            self._runner.__exit__(None, None, None)
            self._runner = self._runner.duplicate()
            self._runner.__enter__()


def _outcome(future: "PrefectFuture[Result]") -> Result | BaseException:
    """Return the result of a task, or what it raised."""
    try:
        return future.result(raise_on_failure=False)
    except BrokenExecutor as error:
        return WorkerLostError(str(error))
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "distributed":
            return WorkerLostError(f"{type(error).__name__}: {error}")
        return error


def _runner(kind: str, parallel: int) -> "TaskRunner[Any]":
    from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

    if kind == THREADS:
        return ThreadPoolTaskRunner(max_workers=parallel)
    if kind == PROCESSES:
        return ProcessPoolTaskRunner(max_workers=parallel, initializer=_end_with_parent)
    from prefect_dask.task_runners import DaskTaskRunner

    if kind == DASK:
        own = {"n_workers": parallel, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
        return DaskTaskRunner(cluster_kwargs={**own, "silence_logs": logging.ERROR})
    return DaskTaskRunner(address=kind, client_kwargs={"timeout": CONNECT_TIMEOUT})


def _end_with_parent() -> None:
    """Let this worker end when the process does that started it, and leave interrupts from the keyboard to that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int, end: Callable[[int], Any] = os._exit) -> None:
    wait([sentinel])
    end(1)
