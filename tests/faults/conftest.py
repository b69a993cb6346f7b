"""Processes that can be stopped at a step."""

from collections.abc import Iterator

import pytest

from tests.faults.forks import Forks
from tests.flows.running import CommandLine


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory, command_line: CommandLine) -> Iterator[Forks]:
    """Processes that run flows, or work on the registry."""
    forks = Forks(tmp_path_factory.mktemp("forks"), **command_line.variables)
    yield forks
    forks.close()
