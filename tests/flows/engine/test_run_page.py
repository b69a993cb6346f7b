"""What people see of a run in Prefect: its name, tasks, log and pages, and the reason of one that failed."""

import base64
import json
import logging
import subprocess
import sys
import urllib.request
from typing import Any

import pytest
from PIL import Image

from flows.engine import run_page
from schemas.errors import GateError, StorageError
from tests.flows.running import ROOT, CommandLine, environment

PIPELINE = ["extract", "validate", "open MLflow", "train", "evaluate", "export", "report", "register"]
PROBE = """
import sys
from flows.engine import run_page, runtime
from infra.settings import load_settings
runtime.configure(load_settings())
run_page.PROGRESS_INTERVAL_S = 0.0
from prefect import flow

@flow(name="counting")
def counting(ends):
    with runtime.progress("count", "steps") as report:
        for done in range(1, 4):
            report(done, 8)
        if not ends:
            raise KeyError("cut off")

for ends in (True, False):
    counting(ends, return_state=True)
"""


class Server:
    """A Prefect server, asked as its pages ask it."""

    def __init__(self, api_url: str) -> None:
        self.api_url = api_url

    def find(self, what: str, **filters: Any) -> list[dict[str, Any]]:
        body = json.dumps({"limit": 200, **filters}).encode()
        request = urllib.request.Request(f"{self.api_url}/{what}/filter", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def newest_run(self, flow: str) -> dict[str, Any]:
        return self.find("flow_runs", flows={"name": {"any_": [flow]}}, sort="START_TIME_DESC", limit=1)[0]

    def of_run(self, what: str, run: dict[str, Any], **filters: Any) -> list[dict[str, Any]]:
        return self.find(what, flow_runs={"id": {"any_": [run["id"]]}}, **filters)

    def log(self, run: dict[str, Any]) -> list[str]:
        entries = self.find("logs", logs={"flow_run_id": {"any_": [run["id"]]}}, sort="TIMESTAMP_ASC")
        return [entry["message"] for entry in entries]


@pytest.fixture(scope="module")
def server(command_line: CommandLine) -> Server:
    """The server that the command line reports to."""
    return Server(command_line.variables["PREFECT_API_URL"])


def test_a_training_reads_as_the_pipeline(server, trained_again):
    result = trained_again.result
    results = server.find("artifacts", artifacts={"key": {"any_": ["train-result"]}})
    run_id = next(page["flow_run_id"] for page in results if result["run_id"] in page["data"])
    run = server.find("flow_runs", flow_runs={"id": {"any_": [run_id]}})[0]
    assert run["name"].startswith("train-eviction-dqn-")
    assert run["state"]["type"] == "COMPLETED"
    tasks = [task["name"] for task in server.of_run("task_runs", run, sort="EXPECTED_START_TIME_ASC")]
    assert [name for name in tasks if name in PIPELINE] == PIPELINE
    pages = {page["key"]: page["data"] for page in server.of_run("artifacts", run)}
    assert {"train-result", "validation"} <= pages.keys()
    shown = pages["train-result"]
    assert shown.count("data:image/png;base64,") == 3
    assert f"| dqn (learned) | {result['test']['policy']['hit_ratio']:.4f} |" in shown
    assert all(name in shown for name in result["test"]["baselines"])
    assert result["run_id"] in shown
    log = server.log(run)
    assert [line for line in log if "validation hit ratio" in line and "loss" in line]
    assert any(line.startswith("register ") for line in log)


def test_a_run_that_fails_tells_its_reason_and_no_traceback(command_line, server, tmp_path):
    done = command_line(tmp_path, "export", "--into", "/elsewhere/policy")
    assert done.status == 2
    run = server.newest_run("export")
    assert run["state"]["type"] == "FAILED"
    assert f"error: {run['state']['message']}\n" == done.err
    assert "Traceback" not in "\n".join(server.log(run))


def test_progress_is_a_bar_that_a_failure_leaves_where_it_was(command_line, server, tmp_path):
    variables = environment(tmp_path, **command_line.variables)
    subprocess.run([sys.executable, "-c", PROBE], cwd=ROOT, env=variables, check=True, capture_output=True)
    bars = server.find("artifacts", artifacts={"key": {"any_": ["count-progress"]}})
    assert sorted((bar["data"], bar["description"]) for bar in bars) == [
        (37.5, "count: 3 of 8 steps"),
        (100.0, "count: done"),
    ]


def test_where_nobody_looks_nothing_is_sent():
    assert not run_page.is_watched()
    assert run_page.address() is None
    run_page.publish("key", "text", "no server is asked")
    with run_page.progress("count", "steps") as report:
        report(1, 2)


@pytest.mark.parametrize(
    ("error", "shown"), [(GateError("no"), False), (StorageError("gone"), False), (KeyError("bug"), True)]
)
def test_only_what_is_a_bug_is_logged_with_its_traceback(error, shown, monkeypatch):
    monkeypatch.setattr(run_page, "ENGINE_LOGGERS", ("ers.test",))  # those of Prefect want a run
    run_page.quieten()
    logger, records = logging.getLogger("ers.test"), []
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    try:
        raise error
    except Exception:
        logger.exception("a task failed")
    finally:
        logger.removeHandler(handler)
    assert (records[0].exc_info is not None) == shown


def test_a_picture_is_part_of_its_page(tmp_path):
    Image.new("RGB", (30, 20), "teal").save(tmp_path / "plot.png")
    page = run_page.picture(tmp_path / "plot.png", "scores")
    head, packed = page.removesuffix(")").split(",")
    assert head == "![scores](data:image/png;base64"
    (tmp_path / "again.png").write_bytes(base64.b64decode(packed))
    with Image.open(tmp_path / "again.png") as again:
        assert again.size == (30, 20)
