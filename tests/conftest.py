"""Fixtures for all tests: traces, databases, a file of requests, and a command line that answers fast."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

from benchmarks import traces
from schemas.trace import Trace
from tests.support.databases import Databases
from tests.support.processes import end_all, take_signals

if TYPE_CHECKING:
    from tests.flows.running import CommandLine

REQUESTS = 12_000
WITHOUT_KERNELS = (
    "tests/infra/",
    "tests/schemas/",
    "tests/tasks/extract/",
    "tests/tasks/ingest/test_record",
)
settings.register_profile("ers", deadline=None)  # a first example may compile a kernel
settings.load_profile("ers")


def pytest_configure(config: pytest.Config) -> None:
    """Let PyTorch take one thread, here and in processes that tests start: two test processes share two cores."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    take_signals(has_workers=config.getoption("dist", "no") != "no")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the tests have left running, however they ended."""
    if not hasattr(config, "workerinput"):
        for command in end_all():
            sys.stderr.write(f"ended what a test left running: {command[:200]}\n")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests so that two workers, each of which begins with one half, end together.

    All that share `command_line` are in the first half; the other begins with what needs no kernels, while they are
    compiled there. Both end with what is quick, of which the worker that is done first takes some of the other's.
    """
    shared, others = _split(items, lambda item: "command_line" in getattr(item, "fixturenames", ()))
    slow, quick = _split(others, lambda item: item.get_closest_marker("slow") is not None)
    early, late = _split(quick, lambda item: item.nodeid.startswith(WITHOUT_KERNELS))
    slow.sort(key=lambda item: not item.nodeid.startswith("tests/infra/stack/"))  # which mostly wait
    first = max(len(items) // 2 - len(shared), 0)  # of the quick ones
    items[:] = [*shared, *late[:first], *early, *slow, *late[first:]]


def _split(
    items: list[pytest.Item], holds: Callable[[pytest.Item], bool]
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    return [item for item in items if holds(item)], [item for item in items if not holds(item)]


@pytest.fixture(scope="session")
def traces_dir() -> Path:
    """The folder of real traces: ERS_TRACES_DIR, or ../shared/traces beside the repository.

    Tests that need it are skipped where it is missing; with ERS_REQUIRE_ALL=1 they fail.
    """
    folder = traces.traces_folder()
    if not folder.is_dir():
        reason = f"no shared traces at {folder}: set ERS_TRACES_DIR"
        (pytest.fail if os.environ.get("ERS_REQUIRE_ALL") == "1" else pytest.skip)(reason)
    return folder


@pytest.fixture(scope="session")
def shared_trace(traces_dir: Path) -> Callable[[str], Trace]:
    """Return the shared trace of a name such as "web12": keys and sizes as recorded, no load times, one endpoint."""
    return cache(traces.shared_trace)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Empty databases of each kind."""
    databases = Databases(tmp_path_factory.mktemp("databases"))
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def make_trace() -> Callable[..., Trace]:
    """Return a trace of given keys, one request a second; by default of one byte each and unknown load time."""

    def build(
        keys: Sequence[int],
        size_bytes: Sequence[int] | int = 1,
        load_time_ms: Sequence[float] | float = np.nan,
        columns: dict[str, Sequence[float]] | None = None,
    ) -> Trace:
        n = len(keys)
        columns = columns or {}
        return Trace(
            key=np.array(keys, np.int64),
            timestamp_s=np.arange(n, dtype=np.float64),
            size_bytes=np.broadcast_to(np.array(size_bytes, np.int64), n).copy(),
            load_time_ms=np.broadcast_to(np.array(load_time_ms, np.float32), n).copy(),
            endpoint=np.zeros(n, np.int32),
            n_keys=max(keys, default=-1) + 1,
            columns=np.array(list(columns.values()), np.float32).reshape(len(columns), n).T.copy(),
            column_names=tuple(columns),
        )

    return build


@pytest.fixture(scope="session")
def requests_parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12,000 requests, made up: a popular core, and keys that are asked for a few times in a row and never again."""
    import pandas as pd

    rng = np.random.default_rng(7)
    core = rng.zipf(1.2, REQUESTS) % 500
    passing = 1_000 + np.arange(REQUESTS) // 5
    key = np.where(rng.random(REQUESTS) < 0.6, core, passing)
    path = tmp_path_factory.mktemp("source") / "requests.parquet"
    columns = {
        "timestamp": 1_700_000_000 + np.arange(REQUESTS),
        "key": key,
        "size_bytes": 100 + key * 37 % 900,
        "load_time_ms": 1.0 + key * 13 % 50,
        "ttl_s": 60.0 * (1 + key % 3),
    }
    pd.DataFrame(columns).to_parquet(path)
    return path


@pytest.fixture(scope="session")
def command_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator["CommandLine"]:
    """`python -m flows` without the time that a new process takes to import."""
    from flows.engine.local_server import LocalServer
    from tests.flows.running import CommandLine

    home = tmp_path_factory.mktemp("prefect")
    with LocalServer(home) as server:
        server.wait()
        command_line = CommandLine(home, server.api_url)
        yield command_line
        command_line.close()
