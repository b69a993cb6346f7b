"""`train` ended in the middle: nothing half is left behind, and the same command then succeeds."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.atomic import TEMPORARY_PREFIX
from tests.flows.running import (
    Done,
    bundles,
    eventually,
    local_servers,
    mlflow_runs,
    rows,
    start,
    store,
    versions,
)
from tests.tasks.registry.stores import settings_of

pytestmark = pytest.mark.slow

START_TIMEOUT_S = 120


@dataclass
class Victim:
    """A home with a finished run in it, and the command that is killed there and then given again."""

    home: Path
    words: tuple[object, ...]


@pytest.fixture(scope="module")
def victim(tmp_path_factory, requests_parquet, command_line) -> Victim:
    home = tmp_path_factory.mktemp("victim")
    words = ("train", "--source", requests_parquet, "--cache-size", 100, "--timesteps", 2_000, "--json")
    assert command_line(home, *words).status == 0
    return Victim(home, words)


def wait_for_step(process: "subprocess.Popen[str]", step: str) -> None:
    """Return once the process says that `step` is done."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.split()[:1] == [step] and line.rstrip().endswith(" s"):
            return
    pytest.fail(f"the run ended before its step {step}")


def wait_until(holds: Callable[[], bool], is_alive: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not holds():
        assert is_alive()
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


STEPS = ("open", "train", "export", "report", "checkpoints removed", "run finished")


def test_runs_killed_after_each_step_leave_nothing_half_and_the_next_one_succeeds(victim, forks, command_line):
    """Each run settles what the one before it left; were it not to, it would end in an error before it is killed."""
    home, before, runs = victim.home, versions(victim.home), mlflow_runs(victim.home)
    for step in STEPS:
        assert forks.run("command", settings_of(home), *map(str, victim.words), after=step).killed, step
        bundles(home)
        assert before.items() <= versions(home).items(), step

    again = command_line(home, *victim.words)
    registered = versions(home)  # which asserts that MLflow and rl_models agree
    assert registered[again.result["model"]["version"]] == again.result["run_id"]
    assert before.items() <= registered.items()
    assert len(registered) == len(before) + 3  # two that were killed had been registered
    assert set(registered) == set(range(1, len(registered) + 1))
    assert {path.name.rpartition("-")[2] for path in bundles(home)} == set(registered.values())
    assert {path.name.rpartition("-")[2] for path in reports(home)} == set(registered.values())
    assert not list((home / "bundles").glob(f"{TEMPORARY_PREFIX}*"))
    statuses = {run: status for run, status in mlflow_runs(home).items() if run not in runs}
    assert len(statuses) == len(STEPS)  # killed after "open" it had none yet
    assert "RUNNING" not in statuses.values()
    assert {run for run, status in statuses.items() if status == "FINISHED"} == set(registered.values()) - set(runs)
    assert rows(home)["cache_metrics"] == 12_000


def reports(home: Path) -> list[Path]:
    """The reports of runs that trained."""
    return list((home / "reports").glob("eviction-*"))


@pytest.mark.parametrize("delay_s", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("store", ["ers.db", "mlflow.db"])
def test_a_first_process_killed_while_it_makes_a_store_leaves_what_the_next_one_opens(store, delay_s, tmp_path, forks):
    settings, path = settings_of(tmp_path), tmp_path / store
    fork = forks.start("reconcile", settings)
    wait_until(lambda: path.exists() and path.stat().st_size > 0, lambda: fork.state() != "")
    time.sleep(delay_s)
    with suppress(ProcessLookupError):  # it was faster
        os.kill(fork.pid, signal.SIGKILL)
    fork.wait()
    again = forks.run("train_end", settings)
    assert (again.error, again.result) == ("", 1)


def test_an_interrupt_from_the_keyboard_ends_the_run_as_failed_with_nothing_registered(victim):
    home, before, runs = victim.home, versions(victim.home), mlflow_runs(victim.home)
    found = bundles(home)
    process = start(home, *victim.words, "--timesteps", 10_000_000)
    wait_for_step(process, "open")
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in errors
    assert versions(home) == before
    assert bundles(home) == found
    (status,) = (status for run, status in mlflow_runs(home).items() if run not in runs)
    assert status in ("FAILED", "KILLED")
    assert eventually(lambda: local_servers(home) == [])


def test_a_training_killed_in_the_middle_goes_on_from_there_and_learns_the_same(victim, forks, command_line, tmp_path):
    words = (*victim.words, "--timesteps", 60_000, "--algorithm", "a2c")
    fork = forks.start("command", settings_of(tmp_path), *map(str, words))
    wait_until(lambda: list((tmp_path / "checkpoints").glob("*.pt")) != [], lambda: fork.state() != "")
    os.kill(fork.pid, signal.SIGKILL)
    fork.wait()
    assert rows(tmp_path).get("rl_models", 0) == 0

    resumed, fresh = command_line(tmp_path, *words), command_line(victim.home, *words)
    assert "going on from " in resumed.err
    assert " of 60,000 decisions" in resumed.err
    assert "going on from " not in fresh.err
    assert resumed.result["test"] == fresh.result["test"]
    one, other = (json.loads((Path(done.result["bundle"]) / "golden.json").read_text()) for done in (resumed, fresh))
    assert one == other
    assert sorted(mlflow_runs(tmp_path).values()) == ["FINISHED", "KILLED"]
    assert curves(tmp_path, resumed) == curves(victim.home, fresh)
    assert not (tmp_path / "checkpoints").exists()


def curves(home: Path, done: Done) -> dict[str, list[tuple[int, float]]]:
    names = ("reward", "loss", "training_hit_ratio", "validation_hit_ratio")
    found = {name: store(home).get_metric_history(done.result["run_id"], f"curves/{name}") for name in names}
    assert all(found.values())
    return {name: [(point.step, point.value) for point in points] for name, points in found.items()}
