"""A file of requests, a command line that answers fast, and one trained run that tests share."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.local_server import LocalServer
from tests.flows.running import CommandLine, Done, run

REQUESTS = 12_000
OPTIONS = ("--cache-fraction", 0.05, "--timesteps", 5_000, "--json")


@pytest.fixture(scope="session")
def requests_parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12,000 requests, made up: a popular core, and keys that are asked for a few times in a row and never again."""
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
def command_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """`python -m flows` without the time that a new process takes to import."""
    home = tmp_path_factory.mktemp("prefect")
    with LocalServer(home) as server:
        server.wait()
        command_line = CommandLine(home, server.api_url)
        yield command_line
        command_line.close()


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
    """The same command with another seed, after both."""
    return command_line(trained.home, *trained.words, "--seed", 1)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory, command_line: CommandLine) -> TrainedRun:
    """A run without a source on an empty table, for saved load time, with a column of the table."""
    home = tmp_path_factory.mktemp("simulated")
    words = ("train", "--cache-weights", "load_time_ms=1", "--feature-columns", "origin_version", *OPTIONS)
    return TrainedRun(home, words, command_line(home, *words))
