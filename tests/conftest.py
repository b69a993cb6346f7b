"""Fixtures for all tests: the folder of shared traces, and traces made from it or by hand."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from benchmarks import traces
from schemas.trace import Trace
from tests.databases import Databases

settings.register_profile("ers", deadline=None)  # a first example may compile a kernel
settings.load_profile("ers")


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
