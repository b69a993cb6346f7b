"""MLflow tracking: everything arrives, in few calls; a killed run does not look as if it ran; failures are one line."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.settings import Settings
from schemas.errors import StorageError
from support.process_owner import current_owner, is_gone
from tasks.tracking.tracker import GIVEN_RUN, METRICS_A_BATCH, OWNER_TAG, PARENT_TAG, Tracker, open_tracker
from tasks.validate.mlflow_log import log_validation
from tasks.validate.validate import ValidationReport

REPOSITORY = Path(__file__).parents[3]


def settings_of(home: Path, uri: str = "") -> Settings:
    return Settings(_env_file=None, ers_home=home, mlflow_tracking_uri=uri or f"sqlite:///{home}/deep/mlflow.db")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def tracker(home: Path) -> Tracker:
    return open_tracker(settings_of(home))


def one_line(error: pytest.ExceptionInfo[StorageError]) -> bool:
    return "\n" not in str(error.value) and "MLFLOW_TRACKING_URI" in str(error.value)


def test_a_run_keeps_its_parameters_and_tags(tracker: Tracker) -> None:
    params = {f"p{i}": i for i in range(150)} | {"columns": ("a", "b"), "weights": {"a": 1.0}, "long": "x" * 10_000}
    params |= {"unset": None, "empty": (), "none": {}, "off": False, "zero": 0}
    run_id = tracker.start_run("named", params, {"source": "web12"})
    run = tracker.client.get_run(run_id)
    assert run.info.run_name == "named"
    assert run.data.params["p149"] == "149"
    assert (run.data.params["columns"], run.data.params["weights"]) == ("a,b", "a=1.0")
    assert (run.data.params["off"], run.data.params["zero"]) == ("False", "0")
    assert not {"unset", "empty", "none"} & set(run.data.params)
    assert run.data.params["long"] == "x" * 6000
    assert (run.data.tags["source"], run.data.tags[OWNER_TAG]) == ("web12", current_owner())


def test_the_drift_of_a_column_is_logged_whatever_its_name(tracker: Tracker, tmp_path: Path) -> None:
    run_id = tracker.start_run("validated", {}, {})
    (tmp_path / "index.html").write_text("a page")
    psi = {"price; DROP TABLE x": 0.5, "../a//b": 1.0, "gap between requests": 0.0, "blåbær": 2.0, "x" * 300: 3.0}
    log_validation(tracker, ValidationReport((), 7, 0.01, "m", psi, ()), tmp_path)
    tracker.finish()
    metrics = tracker.client.get_run(run_id).data.metrics
    assert sorted(value for name, value in metrics.items() if name.startswith("validation/psi.")) == sorted(
        psi.values()
    )
    assert metrics["validation/psi.gap between requests"] == 0
    assert (metrics["validation/checked_rows"], metrics["validation/failed_rows"]) == (7, 0)
    assert [found.path for found in tracker.client.list_artifacts(run_id, "validation")] == ["validation/index.html"]


def test_a_curve_arrives_whole_in_a_few_calls(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = tracker.start_run("curve", {}, {})
    calls: list[int] = []
    log_batch = tracker.client.log_batch

    def counted(run: str, **values: list[object]) -> None:
        calls.append(len(values["metrics"]))
        log_batch(run, **values)

    monkeypatch.setattr(tracker.client, "log_batch", counted)
    for step in range(2500):
        tracker.metric("reward", step / 2, step)
    tracker.finish()
    assert sum(calls) == 2500
    assert max(calls) <= METRICS_A_BATCH
    assert len(calls) <= 4
    history = tracker.client.get_metric_history(run_id, "reward")
    assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == [(i, i / 2) for i in range(2500)]


def test_a_slow_curve_shows_before_the_run_ends(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = tracker.start_run("slow", {}, {})
    tracker.flush()
    now = time.monotonic()
    tracker.metric("reward", 1.0, 0)
    assert tracker.client.get_metric_history(run_id, "reward") == []
    monkeypatch.setattr(time, "monotonic", lambda: now + 11)
    tracker.metric("reward", 2.0, 1)
    assert len(tracker.client.get_metric_history(run_id, "reward")) == 2


def test_a_curve_of_one_run_never_lands_in_the_next(tracker: Tracker) -> None:
    first = tracker.start_run("first", {}, {})
    tracker.metric("reward", 1.0, 0)
    second = tracker.start_run("second", {}, {})
    tracker.finish()
    assert len(tracker.client.get_metric_history(first, "reward")) == 1
    assert tracker.client.get_metric_history(second, "reward") == []


def test_runs_end_finished_or_failed_or_killed_with_the_reason(tracker: Tracker) -> None:
    finished = tracker.start_run("a", {}, {})
    tracker.finish()
    failed = tracker.start_run("b", {}, {})
    tracker.fail("the disk is full")
    killed = tracker.start_run("c", {}, {})
    tracker.fail("cancelled", killed=True)
    runs = [tracker.client.get_run(run) for run in (finished, failed, killed)]
    assert [run.info.status for run in runs] == ["FINISHED", "FAILED", "KILLED"]
    assert [run.data.tags["ers.failure"] for run in runs[1:]] == ["the disk is full", "cancelled"]


@pytest.mark.parametrize(
    ("uri", "page"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/#/experiments/7/runs/abc"),
        ("https://user:secret@mlflow.example/base/", "https://mlflow.example/base/#/experiments/7/runs/abc"),
        ("sqlite:///var/mlflow.db", None),
    ],
)
def test_a_run_has_a_page_where_a_server_shows_it_and_no_password_is_in_its_address(
    tracker: Tracker, uri: str, page: str | None
) -> None:
    elsewhere = Tracker(uri, tracker.client, "7")
    elsewhere.run_id = "abc"
    assert elsewhere.run_page() == page


def test_artifacts_lie_under_the_home(tracker: Tracker, home: Path, tmp_path: Path) -> None:
    run_id = tracker.start_run("artifacts", {}, {})
    (tmp_path / "a.txt").write_text("hello")
    tracker.log_artifacts(tmp_path, "bundle")
    (stored,) = (home / "mlartifacts").rglob("a.txt")
    assert stored.read_text() == "hello"
    assert run_id in str(stored)


def test_only_the_runs_of_ended_processes_of_this_host_are_ended_as_killed_or_finished(tracker: Tracker) -> None:
    owners = {
        "live": current_owner(),
        "elsewhere": "another-host~1~1",
        "unknown": "",
        "dead": owner_of_an_ended_process(),
        "dead, done": owner_of_an_ended_process(),
    }
    runs = {name: tracker.start_run(name, {}, {}) for name in owners}
    for name, run_id in runs.items():
        tracker.client.set_tag(run_id, OWNER_TAG, owners[name])
    tracker.end_killed_runs({runs["dead, done"], runs["live"]})
    statuses = {name: tracker.client.get_run(run_id).info.status for name, run_id in runs.items()}
    running = dict.fromkeys(("live", "elsewhere", "unknown"), "RUNNING")
    assert statuses == {**running, "dead": "KILLED", "dead, done": "FINISHED"}


def owner_of_an_ended_process() -> str:
    program = "import support.process_owner; print(support.process_owner.current_owner())"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=REPOSITORY)
    return done.stdout.strip()


def test_a_reused_pid_does_not_pass_for_the_process_that_had_it() -> None:
    host, pid, start = current_owner().split("~")
    assert not is_gone(f"{host}~{pid}~{start}")
    assert is_gone(f"{host}~{pid}~{float(start) - 0.01:.2f}")


def test_a_killed_process_is_gone_even_before_it_is_reaped() -> None:
    program = (
        "import support.process_owner, time; print(support.process_owner.current_owner(), flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stdout is not None
    with process:
        owner = process.stdout.readline().strip()
        assert not is_gone(owner)
        os.kill(process.pid, signal.SIGKILL)
        for _ in range(100):
            if is_gone(owner):
                break
            time.sleep(0.05)
        assert is_gone(owner)


def test_an_existing_store_is_opened_again(tracker: Tracker, home: Path) -> None:
    run_id = tracker.start_run("before", {}, {})
    assert open_tracker(settings_of(home)).knows_run(run_id)
    assert not tracker.knows_run("0" * 32)


@pytest.mark.parametrize("content", [None, b"this is no database, but a text that is long enough to be read" * 40])
def test_a_store_that_cannot_be_opened_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mlflow.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(StorageError) as caught:
        open_tracker(settings_of(tmp_path, f"sqlite:///{path}"))
    assert one_line(caught)


def test_an_address_that_is_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        open_tracker(settings_of(tmp_path, "nonsense"))
    assert one_line(caught)


def test_a_server_that_does_not_answer_is_one_line_without_the_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StorageError) as caught:
        open_tracker(settings_of(tmp_path, f"http://user:secret@127.0.0.1:{port}"))
    assert one_line(caught)
    assert "secret" not in str(caught.value)
    assert caplog.records == []


QUIET = """
import sys, pathlib
import tasks.tracking.tracker
assert "mlflow" not in sys.modules
from infra.settings import Settings
home = pathlib.Path(sys.argv[1])
tracker = tasks.tracking.tracker.open_tracker(
    Settings(_env_file=None, ers_home=home, mlflow_tracking_uri=f"sqlite:///{home}/mlflow.db"))
tracker.start_run("quiet", {"a": 1}, {})
tracker.metric("reward", 1.0, 0)
tracker.log_artifacts(pathlib.Path(sys.argv[2]), "bundle")
tracker.finish()
"""


def test_a_first_run_prints_nothing_writes_nothing_elsewhere_and_import_starts_nothing(tmp_path: Path) -> None:
    home, artifacts, elsewhere = (tmp_path / name for name in ("home", "artifacts", "elsewhere"))
    artifacts.mkdir()
    elsewhere.mkdir()
    (artifacts / "a.txt").touch()
    done = subprocess.run(
        [sys.executable, "-c", QUIET, str(home), str(artifacts)],
        check=False,
        capture_output=True,
        text=True,
        cwd=elsewhere,
        env={k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")} | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(p.name for p in home.iterdir()) == ["mlartifacts", "mlflow.db"]
    assert list(elsewhere.iterdir()) == []


def test_the_first_run_is_the_one_that_mlflow_run_made(
    tracker: Tracker, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tracker.client.create_run("0", tags={"mlflow.source.name": "theirs"}).info.run_id
    tracker.client.log_param(given, "cache_fraction", "5e-2")
    monkeypatch.setenv(GIVEN_RUN, given)
    opened = open_tracker(settings_of(home))
    assert GIVEN_RUN not in os.environ
    tags = {"mlflow.source.name": "ours", "decision": "ttl"}
    assert opened.start_run("first", {"cache_fraction": 0.05, "seed": 1}, tags) == given
    opened.fail("a gate said no")
    run = tracker.client.get_run(given)
    assert (run.info.status, run.info.run_name) == ("FAILED", "first")
    assert run.data.params == {"cache_fraction": "5e-2", "seed": "1"}
    assert (run.data.tags["mlflow.source.name"], run.data.tags["decision"]) == ("theirs", "ttl")
    assert opened.start_run("second", {"cache_fraction": 0.1}, {}) != given
    opened.finish()


def test_a_run_that_has_ended_is_not_gone_on_with(
    tracker: Tracker, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = tracker.start_run("ended", {}, {})
    tracker.finish()
    monkeypatch.setenv(GIVEN_RUN, ended)
    opened = open_tracker(settings_of(home))
    assert opened.start_run("new", {}, {}) != ended
    opened.finish()


def test_a_nested_run_is_in_the_experiment_of_its_parent(tracker: Tracker) -> None:
    parent = tracker.client.create_run("0").info.run_id
    tracker.start_run("trial 0", {}, {"sweep.trial": "0"}, parent=parent)
    tracker.metric("validation", 0.2, 1)
    tracker.metric("validation", 0.1, 0)
    tracker.finish()
    (found,) = tracker.runs({PARENT_TAG: parent, "sweep.trial": "0"}, beside=parent)
    assert found.info.run_id == tracker.run_id
    assert tracker.runs({PARENT_TAG: parent}) == []
    assert tracker.curve(tracker.run_id, "validation") == [0.1, 0.2]
