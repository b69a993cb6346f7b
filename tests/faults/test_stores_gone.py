"""A store goes away in the middle of an operation, and comes back: one clear line, and the same again ends right.

The process is stopped at a step, the store is really taken away, then the process goes on. It has ended when the store
is back, so that the next one settles what it left.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from benchmarks.servers import PASSWORD, USER
from infra.settings import Settings
from tests.faults import mounts
from tests.faults.forks import Fork, Forks, Outcome
from tests.faults.registry_trial import Trial
from tests.support.databases import started
from tests.support.servers import free_port, serving

pytestmark = pytest.mark.slow

STEPS = (  # operation, the step at which its process is stopped, the champion once it was given again
    ("promote", "move: alias set", 3),
    ("rollback", "move: stages set", 1),
    ("train_end", "register: version created", 2),
)


def stopped(trial: Trial, operation: str, step: str) -> Fork:
    """Start an operation and wait until it is stopped at a step."""
    fork = trial.forks.start(operation, trial.settings, after=step, ending=signal.SIGSTOP)
    fork.wait(psutil.STATUS_STOPPED)
    assert fork.state() == psutil.STATUS_STOPPED, f"{operation} ended before {step}: {fork.ended()}"
    return fork


def interrupted(trial: Trial, operation: str, step: str, take_away: Callable[[], object]) -> Outcome:
    """Run an operation, from whose step on a store is gone."""
    fork = stopped(trial, operation, step)
    try:
        take_away()
    finally:
        os.kill(fork.pid, signal.SIGCONT)
    return fork.ended()


def assert_told(trial: Trial, outcome: Outcome, *told: str) -> None:
    """The operation failed with one line that holds what is `told`, and no password is shown anywhere."""
    assert outcome.error.startswith("StorageError: ")
    assert "\n" not in outcome.error
    for text in told:
        assert text in outcome.error
    shown = outcome.error + trial.forks.errors()
    assert PASSWORD not in shown
    assert quote(PASSWORD, safe="") not in shown


def assert_mended(trial: Trial, operation: str, champion: int) -> None:
    """The same operation, given again, ends right, and leaves nothing to reconcile."""
    again = trial.forks.run(operation, trial.settings)
    assert again.error == ""
    trial.check()
    assert trial.champion == champion
    assert trial.forks.run("reconcile", trial.settings).result == []


# --- the database ---


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_a_database_that_is_killed_is_told_and_settled_later(kind: str, forks: Forks, tmp_path: Path) -> None:
    with started(kind) as server:
        home = tmp_path / "home"
        home.mkdir()
        url = server.url.render_as_string(hide_password=False)
        trial = Trial(forks, Settings(_env_file=None, ers_home=home, db_url=url), tmp_path / "template")
        for operation, step, champion in STEPS:
            trial.reset()
            outcome = interrupted(trial, operation, step, server.kill)
            server.start()
            assert_told(trial, outcome, f"***@127.0.0.1:{server.url.port}")
            assert_mended(trial, operation, champion)
        trial.engine.dispose()


# --- MLflow ---


class MlflowServer:
    """An MLflow server over a home, that can be killed and started again at the same address."""

    def __init__(self, home: Path) -> None:
        self.home, self._port = home, free_port()
        self._running = ExitStack()
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        words = ("mlflow", "server", "--backend-store-uri", f"sqlite:///{self.home}/mlflow.db", "--serve-artifacts")
        words += ("--artifacts-destination", str(self.home / "mlartifacts"), "--port", str(self._port))
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        served = serving(self.home.parent, f"{self.url}/health", *words, "--workers", "1", **quiet)
        self._process = self._running.enter_context(served)

    def kill(self) -> None:
        """End all its processes at once."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._running.close()

    def close(self) -> None:
        self._running.close()


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[MlflowServer]:
    home = tmp_path / "home"
    home.mkdir()
    server = MlflowServer(home)
    server.start()
    yield server
    server.close()


def test_an_mlflow_server_that_is_killed_is_told_and_settled_later(mlflow_server: MlflowServer, forks: Forks) -> None:
    home, uri = mlflow_server.home, mlflow_server.url.replace("//", f"//{USER}:{quote(PASSWORD, safe='')}@")
    settings = Settings(_env_file=None, ers_home=home, db_url=f"sqlite:///{home}/ers.db", mlflow_tracking_uri=uri)
    trial = Trial(forks, settings, home.parent / "template")
    at_work = [
        stopped(trial, "train_end", "register: intent recorded"),
        stopped(trial, "promote", "move: alias set"),
    ]
    mlflow_server.kill()
    for fork in at_work:
        os.kill(fork.pid, signal.SIGCONT)
    outcomes = [fork.ended() for fork in at_work]
    mlflow_server.start()
    for outcome in outcomes:
        assert_told(trial, outcome, "***@127.0.0.1", "check MLFLOW_TRACKING_URI")
    for operation in ("promote", "train_end"):
        assert_mended(trial, operation, 3)
    trial.engine.dispose()


# --- the disk ---


@pytest.fixture(scope="module")
def small_disk(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """A registry whose home is a file system of 32 MB."""
    folder = tmp_path_factory.mktemp("disk")
    home = folder / "home"
    home.mkdir()
    settings = Settings(_env_file=None, ers_home=home, db_url=f"sqlite:///{home}/ers.db")
    with mounts.small_disk(home, "32m"):
        trial = Trial(forks, settings, folder / "template")
        yield trial
        trial.engine.dispose()


def fill(home: Path) -> None:
    """Leave no room on the disk."""
    with suppress(OSError), (home / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


@pytest.mark.parametrize("step", ["register: model logged", "register: intent recorded", "move: alias set"])
def test_a_disk_that_is_full_is_told_and_settled_once_there_is_room(step: str, small_disk: Trial) -> None:
    operation, champion = ("promote", 3) if step.startswith("move") else ("train_end", 2)
    small_disk.reset()
    outcome = interrupted(small_disk, operation, step, lambda: fill(small_disk.home))
    (small_disk.home / "ballast").unlink()
    assert_told(small_disk, outcome)
    assert "No space left on device" in outcome.error or "full" in outcome.error
    assert_mended(small_disk, operation, champion)


def test_a_registration_whose_artifacts_cannot_be_written_is_told_and_registers_when_they_can(
    small_disk: Trial,
) -> None:
    small_disk.reset()
    before = small_disk.rows, small_disk.events
    with mounts.read_only(small_disk.home / "mlartifacts"):
        outcome = small_disk.forks.run("train_end", small_disk.settings)
    assert_told(small_disk, outcome, "Read-only file system")
    assert (small_disk.rows, small_disk.events) == before
    assert_mended(small_disk, "train_end", 2)
    assert max(small_disk.rows) == 4
