"""The fixtures of the flows' tests, for faults that need whole runs, and processes that can be stopped at a step."""

from collections.abc import Iterator

import pytest

from tests.faults.forks import Forks
from tests.flows.conftest import command_line, requests_parquet
from tests.flows.running import CommandLine

__all__ = ["command_line", "requests_parquet"]


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory, command_line: CommandLine) -> Iterator[Forks]:
    """Processes that run flows, or work on the registry."""
    forks = Forks(tmp_path_factory.mktemp("forks"), **command_line.variables)
    yield forks
    forks.close()
