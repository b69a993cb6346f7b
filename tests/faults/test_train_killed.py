"""`train` ended in the middle: nothing half is left behind, and the same command then succeeds."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.flows.running import (
    ROOT,
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


def wait_until(holds: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def end(process: "subprocess.Popen[str]", ending: signal.Signals = signal.SIGKILL) -> str:
    """Send the signal; return what the process still wrote to stderr."""
    process.send_signal(ending)
    _, errors = process.communicate(timeout=60)
    return errors


STEPS = ("open", "train", "export", "report", "checkpoints removed", "run finished")


@pytest.mark.parametrize("step", STEPS)
def test_a_run_killed_after_a_step_leaves_nothing_half_and_the_next_one_succeeds(step, victim, forks, command_line):
    home, before = victim.home, versions(victim.home)
    settings = Settings(_env_file=None, ers_home=home, db_url=f"sqlite:///{home}/ers.db")
    assert forks.run("command", settings, *map(str, victim.words), after=step).killed
    bundles(home)
    assert before.items() <= versions(home).items()

    again = command_line(home, *victim.words)
    registered = versions(home)  # which asserts that MLflow and rl_models agree
    assert registered[again.result["model"]["version"]] == again.result["run_id"]
    assert before.items() <= registered.items()
    assert set(registered) == set(range(1, len(registered) + 1))
    assert {path.name.rpartition("-")[2] for path in bundles(home)} == set(registered.values())
    assert {path.name.rpartition("-")[2] for path in reports(home)} == set(registered.values())
    assert not list((home / "bundles").glob(".bundle-*"))
    statuses = mlflow_runs(home)
    assert "RUNNING" not in statuses.values()
    assert {run for run, status in statuses.items() if status == "FINISHED"} == set(registered.values())
    assert rows(home)["cache_metrics"] == 12_000


def reports(home: Path) -> list[Path]:
    """The reports of runs that trained."""
    return list((home / "reports").glob("eviction-*"))


@pytest.mark.parametrize("delay_s", [0.0, 0.3])
def test_a_first_run_killed_while_it_makes_its_database_succeeds_the_next_time(
    delay_s, tmp_path, requests_parquet, command_line
):
    words = ("ingest", "--source", requests_parquet, "--json")
    process = start(tmp_path, *words, **command_line.variables)
    wait_until((tmp_path / "ers.db").exists, process)
    time.sleep(delay_s)
    end(process)
    assert command_line(tmp_path, *words).result["rows"] == 12_000
    assert rows(tmp_path) == {"cache_metrics": 12_000, "ingested_sources": 1}


OPEN_STORE = """
import sys
from pathlib import Path
from infra.settings import Settings
from tasks.tracking import open_tracker
home = Path(sys.argv[1])
open_tracker(Settings(_env_file=None, ers_home=home, mlflow_tracking_uri=f"sqlite:///{home}/mlflow.db"))
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.3])
def test_a_first_run_killed_while_it_makes_the_mlflow_store_succeeds_the_next_time(delay_s, tmp_path):
    command = [sys.executable, "-c", OPEN_STORE, str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: any(file.stat().st_size > 0 for file in tmp_path.rglob("mlflow.db")), process)
    time.sleep(delay_s)
    end(process)
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert store(tmp_path).get_experiment_by_name("ers-ml-trainer") is not None


def test_an_interrupt_from_the_keyboard_ends_the_run_as_failed_with_nothing_registered(victim):
    home, before, runs = victim.home, versions(victim.home), mlflow_runs(victim.home)
    found = bundles(home)
    process = start(home, *victim.words, "--timesteps", 10_000_000)
    wait_for_step(process, "open")
    time.sleep(1.0)
    errors = end(process, signal.SIGINT)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in errors
    assert versions(home) == before
    assert bundles(home) == found
    (status,) = (status for run, status in mlflow_runs(home).items() if run not in runs)
    assert status in ("FAILED", "KILLED")
    assert eventually(lambda: local_servers(home) == [])


def test_a_training_killed_in_the_middle_goes_on_from_there_and_learns_the_same(victim, command_line, tmp_path):
    words = (*victim.words, "--timesteps", 60_000, "--algorithm", "a2c")
    process = start(tmp_path, *words, **command_line.variables)
    wait_until(lambda: list((tmp_path / "checkpoints").glob("*.pt")) != [], process)
    end(process)
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
