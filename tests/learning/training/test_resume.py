"""A training that was interrupted and goes on is the training that never was: weights, curves, picks."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from learning.problem import CacheProblem, build_problem
from learning.training.train import TrainedPolicy, train
from schemas.options.train import TrainConfig
from tests.learning.conftest import hot_requests

ROOT = Path(__file__).resolve().parents[3]
TIMESTEPS = 12_000  # a turn each 2,000: with PPO, whose rollouts are of 2,048, after each of them
OPTIONS = {"cache_size": 80, "timesteps": TIMESTEPS, "seed": 3, "patience": 0}


class CutOffError(Exception):
    """Ends a training in the middle."""


class Record:
    """Takes the reports of a training, and ends it at the first step from `stop_at` on."""

    def __init__(self, stop_at: float = np.inf) -> None:
        self.metrics: list[tuple[str, float, int]] = []
        self.progress: list[int] = []
        self.said: list[str] = []
        self._stop_at = stop_at

    def metric(self, *metric: Any) -> None:
        self.metrics.append(metric)

    def report(self, done: int, total: int | None) -> None:
        assert total == TIMESTEPS
        self.progress.append(done)
        if done >= self._stop_at:
            raise CutOffError


def options(algorithm: str, **others: Any) -> TrainConfig:
    return TrainConfig.model_validate({"algorithm": algorithm, **OPTIONS} | others)


def run(problem: CacheProblem, config: TrainConfig, path: Path | None, record: Record) -> TrainedPolicy:
    return train(problem, config, record.metric, record.report, path, record.said.append)


def interrupt(problem: CacheProblem, config: TrainConfig, path: Path, at: float) -> None:
    with pytest.raises(CutOffError):
        run(problem, config, path, Record(at))


def weights(policy: TrainedPolicy) -> np.ndarray:
    return torch.cat([parameter.detach().flatten() for parameter in policy.net.parameters()]).numpy()


def check_same(one: TrainedPolicy, other: TrainedPolicy) -> None:
    np.testing.assert_array_equal(weights(one), weights(other))
    assert one.kept_timesteps == other.kept_timesteps
    assert one.validation_ratio == other.validation_ratio
    assert one.timesteps == other.timesteps


@pytest.fixture(scope="module", params=["dqn", "ppo", "a2c"])
def uninterrupted(
    request: pytest.FixtureRequest, hot_problem: CacheProblem
) -> tuple[TrainConfig, TrainedPolicy, Record]:
    config, record = options(request.param), Record()
    return config, run(hot_problem, config, None, record), record


def test_a_resumed_training_equals_the_uninterrupted_one(
    uninterrupted: tuple[TrainConfig, TrainedPolicy, Record], hot_problem: CacheProblem, tmp_path: Path
) -> None:
    """Interrupted twice: in the middle, and once more after it went on."""
    config, expected, reported = uninterrupted
    path = tmp_path / "training.pt"
    for at in (5_000, 9_500):
        interrupt(hot_problem, config, path, at)
        np.random.seed(99)
        torch.manual_seed(99)
    record = Record()
    check_same(run(hot_problem, config, path, record), expected)
    assert record.metrics == reported.metrics
    assert record.progress[0] > 5_000
    assert record.progress == [done for done in reported.progress if done >= record.progress[0]]
    assert record.said == [f"going on from {record.progress[0]:,} of 12,000 decisions"]


@pytest.mark.parametrize("algorithm", ["dqn", "a2c"])
def test_a_resumed_training_of_a_decision_on_misses_equals_the_uninterrupted_one(
    algorithm: str, tmp_path: Path
) -> None:
    config, path, first, record = options(algorithm, decision="admission"), tmp_path / "t.pt", Record(), Record()
    problem = build_problem(hot_requests(), config)
    expected = run(problem, config, None, first)
    interrupt(problem, config, path, 7_000)
    check_same(run(problem, config, path, record), expected)
    assert record.metrics == first.metrics
    assert record.progress[0] > 4_000


def test_a_checkpoint_changes_nothing_and_a_finished_one_is_a_finished_training(
    uninterrupted: tuple[TrainConfig, TrainedPolicy, Record], hot_problem: CacheProblem, tmp_path: Path
) -> None:
    config, expected, reported = uninterrupted
    path = tmp_path / "folder" / "training.pt"
    check_same(run(hot_problem, config, path, Record()), expected)
    assert [file.name for file in path.parent.iterdir()] == ["training.pt"]  # nothing aside is left
    again = Record()
    check_same(run(hot_problem, config, path, again), expected)
    assert again.metrics == reported.metrics
    assert set(again.progress) == {TIMESTEPS}


def test_a_training_interrupted_before_its_first_checkpoint_starts_anew(
    uninterrupted: tuple[TrainConfig, TrainedPolicy, Record], hot_problem: CacheProblem, tmp_path: Path
) -> None:
    config, expected, _ = uninterrupted
    path, record = tmp_path / "training.pt", Record()
    interrupt(hot_problem, config, path, 0)
    assert not path.exists()
    check_same(run(hot_problem, config, path, record), expected)
    assert record.said == []


def test_a_training_that_stopped_early_stops_there_again(hot_problem: CacheProblem, tmp_path: Path) -> None:
    config = options("a2c", patience=1)
    first, again, path = Record(), Record(), tmp_path / "training.pt"
    stopped = run(hot_problem, config, path, first)
    assert stopped.kept_timesteps < stopped.timesteps < TIMESTEPS
    assert first.said[-1].startswith(f"stopped after {stopped.timesteps:,} of 12,000 decisions")
    check_same(run(hot_problem, config, path, again), stopped)
    assert again.metrics == first.metrics


KILL = """
import os, signal, sys
from pathlib import Path
from learning.problem import build_problem
from learning.training.train import train
from schemas.options.train import TrainConfig
from tests.learning.conftest import hot_requests

def kill(done, total):
    if done >= 7_000:
        os.kill(os.getpid(), signal.SIGKILL)

config = TrainConfig.model_validate_json(sys.argv[1])
train(build_problem(hot_requests(), config), config, lambda *_: None, kill, Path(sys.argv[2]))
"""


def test_a_training_that_was_killed_goes_on_in_another_process(hot_problem: CacheProblem, tmp_path: Path) -> None:
    config, path, record = options("dqn"), tmp_path / "training.pt", Record()
    command = [sys.executable, "-c", KILL, config.model_dump_json(), str(path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed = run(hot_problem, config, path, record)
    assert record.said == ["going on from 6,144 of 12,000 decisions"]
    check_same(resumed, run(hot_problem, config, None, Record()))


@pytest.mark.parametrize("fault", ["truncated", "flipped", "empty", "text"])
def test_a_damaged_checkpoint_is_told_and_training_starts_anew(
    fault: str, hot_problem: CacheProblem, tmp_path: Path
) -> None:
    config, path, record = options("a2c", timesteps=TIMESTEPS), tmp_path / "training.pt", Record()
    interrupt(hot_problem, config, path, 7_000)
    content = bytearray(path.read_bytes())
    if fault == "flipped":
        content[len(content) // 2] ^= 255
    path.write_bytes({"truncated": content[:-100], "flipped": content, "empty": b"", "text": b"nonsense"}[fault])
    check_same(run(hot_problem, config, path, record), run(hot_problem, config, None, Record()))
    assert len(record.said) == 1
    assert record.said[0].startswith(f"checkpoint {path} cannot be read (")
    assert record.said[0].endswith("): training starts anew")


@pytest.mark.parametrize("change", ["seed", "learning_rate", "data"])
def test_the_checkpoint_of_another_training_is_told_and_not_used(
    change: str, hot_problem: CacheProblem, tmp_path: Path
) -> None:
    path, record = tmp_path / "training.pt", Record()
    interrupt(hot_problem, options("a2c"), path, 7_000)
    config = options("a2c", **({} if change == "data" else {change: {"seed": 4, "learning_rate": 0.01}[change]}))
    problem = build_problem(hot_requests(seed=1), config) if change == "data" else hot_problem
    check_same(run(problem, config, path, record), run(problem, config, None, Record()))
    assert record.said == [f"checkpoint {path} is of other data, options or code: training starts anew"]


def test_a_checkpoint_that_cannot_be_written_ends_no_training(hot_problem: CacheProblem, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    record = Record()
    policy = run(hot_problem, options("a2c"), tmp_path / "file" / "training.pt", record)
    assert policy.timesteps >= TIMESTEPS
    assert all("cannot be written (" in line and line.endswith("training goes on without") for line in record.said)
    assert record.said
