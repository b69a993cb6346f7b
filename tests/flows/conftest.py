"""Trained runs that tests share."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.flows.running import CommandLine, Done, run

OPTIONS = ("--cache-fraction", 0.05, "--timesteps", 5_000, "--json")


@dataclass(frozen=True)
class TrainedRun:
    """A run of `train`: its state, the words of its command, and how it ended."""

    home: Path
    words: tuple[object, ...]
    done: Done


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, requests_parquet: Path) -> TrainedRun:
    """A run of `train` in a process and a home of its own."""
    home = tmp_path_factory.mktemp("trained")
    words = ("train", "--source", requests_parquet, *OPTIONS)
    return TrainedRun(home, words, run(home, *words))


@pytest.fixture(scope="session")
def trained_again(trained: TrainedRun, command_line: CommandLine) -> Done:
    """The same command once more, in another process."""
    return command_line(trained.home, *trained.words)


@pytest.fixture(scope="session")
def trained_with_another_seed(trained: TrainedRun, trained_again: Done, command_line: CommandLine) -> Done:
    """The same command with another seed, after both, its answer a text."""
    return command_line(trained.home, *(word for word in trained.words if word != "--json"), "--seed", 1)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory, command_line: CommandLine) -> TrainedRun:
    """A run without a source on an empty table, for saved load time, with a column of the table."""
    home = tmp_path_factory.mktemp("simulated")
    words = ("train", "--cache-weights", "load_time_ms=1", "--feature-columns", "origin_version", *OPTIONS)
    return TrainedRun(home, words, command_line(home, *words))
