"""A run tells which code, libraries and data made it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.settings import Settings
from schemas.trace import Trace
from tasks.tracking import run_info
from tasks.tracking.run_info import log_data, run_tags
from tasks.tracking.store import EXPERIMENT, EXPERIMENT_TAGS
from tasks.tracking.tracker import Tracker, open_tracker

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    return Settings(_env_file=None, ers_home=home, mlflow_tracking_uri=f"sqlite:///{home}/mlflow.db")


@pytest.fixture
def tracker(settings: Settings) -> Tracker:
    return open_tracker(settings)


def test_the_tags_name_code_libraries_user_and_command() -> None:
    tags = run_tags("python -m flows train")
    assert tags["version.python"] == ".".join(map(str, sys.version_info[:3]))
    assert tags["version.torch"].startswith("2.")
    assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == ("python -m flows train", "LOCAL")
    assert tags["mlflow.user"]


def test_the_commit_is_that_of_the_checkout_and_none_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("git") and (ROOT / ".git").exists():
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
        assert run_tags("x")["mlflow.source.git.commit"] == head.stdout.strip()
    monkeypatch.setattr(run_info, "PROJECT", tmp_path)
    assert "mlflow.source.git.commit" not in run_tags("x")
    assert capfd.readouterr() == ("", "")


def test_a_user_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987_654)  # of whom the system knows nothing
    assert run_info.user_name() == "unknown"


def test_the_data_are_inputs_for_training_and_evaluation(tracker: Tracker, make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([1, 2, 1, 3, 3, 3, 1, 4, 2, 1], columns={"price": [0.0] * 10})
    run_id = tracker.start_run("a run", {}, {})
    log_data(tracker, trace, 6, "access.log", {"table": "cache_metrics"})
    inputs = {one.tags[0].value: one.dataset for one in tracker.client.get_run(run_id).inputs.dataset_inputs}
    assert inputs.keys() == {"training", "evaluation"}
    profiles = {context: json.loads(dataset.profile) for context, dataset in inputs.items()}
    assert [(one["num_rows"], one["distinct_keys"]) for one in map(profiles.get, inputs) if one] == [(6, 3), (4, 3)]
    assert profiles["training"]["last"] == "1970-01-01T00:00:05+00:00"
    dataset = inputs["training"]
    assert dataset.name == "access.log"
    assert dataset.digest.startswith(trace.sha256[:32])
    assert json.loads(dataset.source) == {"table": "cache_metrics"}
    assert "price" in [column["name"] for column in json.loads(dataset.schema)["mlflow_colspec"]]


def test_the_experiment_explains_its_metrics_and_a_text_of_the_users_own_stays(
    tracker: Tracker, settings: Settings
) -> None:
    client, note = tracker.client, "mlflow.note.content"
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment.tags.items() >= EXPERIMENT_TAGS.items()
    client.set_experiment_tag(experiment.experiment_id, note, "ours")
    open_tracker(settings)
    assert client.get_experiment(experiment.experiment_id).tags[note] == "ours"
