"""Flows run from the command line as users run them: without a Prefect server, with one, and ended in the middle."""

import json
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.flows.running import eventually, local_servers, run, start

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


def test_ingest_gives_one_json_object_and_is_quiet(home, requests_csv):
    done = run(home, "ingest", "--source", requests_csv, "--json")
    result = done.result
    assert (result["rows"], result["added_rows"], result["rejected_rows"]) == (50, 50, 0)
    assert done.err == f"requests of a day.csv: 50 requests added, 50 in sqlite:///{home}/ers.db\n"
    assert local_servers(home) == []


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
    both = [start(tmp_path, "ingest", "--source", requests_csv) for _ in "ab"]
    for process in both:
        process.communicate(timeout=300)
    assert [process.returncode for process in both] == [0, 0]


def test_a_server_that_cannot_be_reached_is_one_line_and_status_1(tmp_path, requests_csv):
    done = run(tmp_path, "ingest", "--source", requests_csv, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.status == 1
    assert done.err.startswith("error: Prefect server http://127.0.0.1:9/api cannot be reached")
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [] or not (tmp_path / "ers.db").exists()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_server_behind(ending, tmp_path, requests_csv):
    process = start(tmp_path, "ingest", "--source", requests_csv)
    assert eventually(lambda: len(local_servers(tmp_path)) == 1)
    process.send_signal(ending)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (130, -ending)
    assert "Traceback" not in errors
    assert eventually(lambda: local_servers(tmp_path) == [])


def _read(url: str, what: str, **query: object) -> list[dict[str, Any]]:
    body = json.dumps({"sort": "EXPECTED_START_TIME_DESC", **query}).encode()
    request = urllib.request.Request(f"{url}/{what}/filter", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        found: list[dict[str, Any]] = json.load(reply)
    return found


def test_with_a_server_the_run_is_in_its_history(command_line, tmp_path, requests_csv):
    done = command_line(tmp_path, "ingest", "--source", requests_csv, "--json")
    assert done.result["added_rows"] == 50
    assert done.err.count("\n") == 1
    server = command_line.variables["PREFECT_API_URL"]
    (found,) = _read(server, "flow_runs", limit=1)
    assert found["parameters"]["source"] == str(requests_csv)
    assert found["state_type"] == "COMPLETED"
    of_it = {"id": {"any_": [found["id"]]}}  # told by the process as events, which it sends now and then
    assert eventually(lambda: [t["state_type"] for t in _read(server, "task_runs", flow_runs=of_it)] == ["COMPLETED"])
    assert not (tmp_path / "prefect" / "prefect.db").exists()


def test_with_a_server_a_failure_is_in_its_history_and_one_line_here(command_line, tmp_path):
    done = command_line(tmp_path, "ingest", "--source", tmp_path / "missing.csv")
    assert done.status == 2
    assert done.err.count("\n") == 1
    (found,) = _read(command_line.variables["PREFECT_API_URL"], "flow_runs", limit=1)
    assert found["parameters"]["source"] == str(tmp_path / "missing.csv")
    assert found["state_type"] == "FAILED"
    assert "missing.csv" in found["state"]["message"]
