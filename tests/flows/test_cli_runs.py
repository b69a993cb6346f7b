"""Flows run from the command line as users run them: without a Prefect server, with one, and ended in the middle."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 120
END_TIMEOUT_S = 20

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def requests_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "requests of a day.csv"
    rows = [f"{1_700_000_000 + i},GET /item/{i % 7},{100 + i % 7}" for i in range(50)]
    path.write_text("\n".join(["timestamp,key,size_bytes", *rows]))
    return path


def _environment(home: Path, **variables: str) -> dict[str, str]:
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("PREFECT", "DB_", "MLFLOW", "ERS_"))}
    return {**inherited, "ERS_HOME": str(home), **variables}


def _flows(home: Path, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows", *map(str, words)]
    environment = _environment(home, **variables)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


def _servers(home: Path) -> list[int]:
    """Process ids of the local Prefect servers that keep their state under `home`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if b"flows.local_server" in command and str(home).encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return found


def _eventually(holds: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + END_TIMEOUT_S
    while not holds() and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return holds()


def test_ingest_gives_one_json_object_and_is_quiet(home, requests_csv):
    done = _flows(home, "ingest", "--source", requests_csv, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["rows"], result["added_rows"], result["rejected_rows"]) == (50, 50, 0)
    assert done.stderr == f"requests of a day.csv: 50 requests added, 50 in sqlite:///{home}/ers.db\n"
    assert _servers(home) == []


def test_the_same_file_again_adds_nothing(home, requests_csv, command_line):
    command_line(home, "ingest", "--source", requests_csv)
    assert command_line(home, "ingest", "--source", requests_csv, "--json").result["added_rows"] == 0


def test_simulate_adds_as_many_requests_as_asked(home, command_line):
    assert command_line(home, "simulate", "--requests", 500, "--seed", 3, "--json").result["added_rows"] == 500


def test_a_missing_file_is_one_line_and_status_2(home, command_line):
    done = command_line(home, "ingest", "--source", home / "missing.csv", "--json")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert "missing.csv" in done.err
    assert done.err.count("\n") == 1


def test_two_first_runs_at_once_both_succeed(tmp_path, requests_csv):
    command = [sys.executable, "-m", "flows", "ingest", "--source", str(requests_csv)]
    both = [subprocess.Popen(command, cwd=ROOT, env=_environment(tmp_path), stdout=subprocess.DEVNULL) for _ in "ab"]
    assert [process.wait(300) for process in both] == [0, 0]


def test_a_server_that_cannot_be_reached_is_one_line_and_status_1(tmp_path, requests_csv):
    done = _flows(tmp_path, "ingest", "--source", requests_csv, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 1
    assert done.stderr.startswith("error: Prefect server http://127.0.0.1:9/api cannot be reached")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [] or not (tmp_path / "ers.db").exists()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_server_behind(ending, tmp_path, requests_csv):
    command = [sys.executable, "-m", "flows", "ingest", "--source", str(requests_csv)]
    run = subprocess.Popen(command, cwd=ROOT, env=_environment(tmp_path), stderr=subprocess.PIPE, text=True)
    assert _eventually(lambda: len(_servers(tmp_path)) == 1)
    run.send_signal(ending)
    _, errors = run.communicate(timeout=60)
    assert run.returncode in (130, -ending)
    assert "Traceback" not in errors
    assert _eventually(lambda: _servers(tmp_path) == [])


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real Prefect server, ended after the tests by its own process id."""
    state = tmp_path_factory.mktemp("prefect-server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    environment = _environment(state, PREFECT_HOME=str(state), DO_NOT_TRACK="1", PREFECT_SERVER_ANALYTICS_ENABLED="0")
    with (state / "log").open("w") as log:
        server = subprocess.Popen([sys.executable, *command], env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}/api"
    try:
        _wait_for(url, server)
        yield url
    finally:
        server.terminate()
        server.wait(60)


def _wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s and server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the Prefect server did not start")


def _read(url: str, what: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(f"{url}/{what}/filter", b"{}", {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        found: list[dict[str, Any]] = json.load(reply)
    return found


def test_with_a_server_the_run_is_in_its_history(prefect_server, tmp_path, requests_csv):
    done = _flows(tmp_path, "ingest", "--source", requests_csv, "--json", PREFECT_API_URL=prefect_server)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["added_rows"] == 50
    assert done.stderr.count("\n") == 1
    run = next(r for r in _read(prefect_server, "flow_runs") if r["parameters"]["source"] == str(requests_csv))
    assert run["state_type"] == "COMPLETED"
    tasks = [task for task in _read(prefect_server, "task_runs") if task["flow_run_id"] == run["id"]]
    assert [task["state_type"] for task in tasks] == ["COMPLETED"]
    assert not (tmp_path / "prefect" / "prefect.db").exists()


def test_with_a_server_a_failure_is_in_its_history_and_one_line_here(prefect_server, tmp_path):
    done = _flows(tmp_path, "ingest", "--source", tmp_path / "missing.csv", PREFECT_API_URL=prefect_server)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    run = next(r for r in _read(prefect_server, "flow_runs") if r["parameters"]["source"].endswith("missing.csv"))
    assert run["state_type"] == "FAILED"
    assert "missing.csv" in run["state"]["message"]
