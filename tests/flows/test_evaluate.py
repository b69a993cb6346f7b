"""The flow `evaluate`: a registered version, or a bundle, on other requests and at another size."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import TrainedRun
from tests.flows.running import CommandLine, mlflow_runs, rows, store, versions

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def evaluated(trained: TrainedRun, trained_again: object, command_line: CommandLine) -> dict[str, Any]:
    """The first version, on all that is recorded."""
    return command_line(trained.home, "evaluate", "--source", "none", "--version", 1, "--json").result


def test_a_version_scores_on_the_requests_of_its_training_as_it_did_there(
    evaluated: dict[str, Any], trained: TrainedRun
) -> None:
    result = trained.done.result
    for part in ("policy", "baselines", "bounds"):
        assert evaluated["test"][part] == result["test"][part]
    assert evaluated["test"]["comparisons"]["policy"] == result["test"]["comparisons"]["policy"]
    assert (evaluated["cache"], evaluated["gap_closed"]) == (result["cache"], result["gap_closed"])
    assert evaluated["model"] == result["model"]
    assert (evaluated["judged"]["requests"], evaluated["judged"]["later_than_training"]) == (4_800, True)
    assert evaluated["data"]["fingerprint"] == result["data"]["fingerprint"]


def test_mlflow_holds_the_scores_and_the_report_and_no_version_is_added(
    evaluated: dict[str, Any], trained: TrainedRun
) -> None:
    client, run_id = store(trained.home), evaluated["run_id"]
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("evaluate-eviction-1", "FINISHED")
    assert run.data.params["version"] == "1"
    assert run.data.tags["bundle_sha256"] == evaluated["bundle_sha256"]
    assert run.data.metrics["test/hit_ratio"] == evaluated["test"]["policy"]["hit_ratio"]
    artifacts = {Path(file.path).name for file in client.list_artifacts(run_id)}
    assert artifacts == {"scores.json", "scores.png", "timeline.png", "validation"}
    report = Path(evaluated["report"])
    assert report == trained.home / "reports" / f"evaluate-eviction-1-{run_id}"
    assert json.loads((report / "scores.json").read_text())["test"] == evaluated["test"]
    assert run_id not in versions(trained.home).values()


def test_a_bundle_is_judged_at_another_size_after_a_warm_up_as_text(
    evaluated: dict[str, Any], trained: TrainedRun, command_line: CommandLine
) -> None:
    words = ("evaluate", "--source", "none", "--bundle", trained.done.result["bundle"], "--warm-up", 0.25)
    done = command_line(trained.home, *words, "--cache-bytes", 20_000)
    assert done.status == 0, done.err
    heading = done.out.splitlines()[0]
    assert heading.startswith(f"Scores of {trained.done.result['bundle']} on the last 9,000 of 12,000 requests")
    assert heading.endswith("not all of them later than its training, cache of 20,000 bytes:")
    for text in ("dqn (learned)", "belady (knows the future)", "best baseline in hindsight", "report  ", "look    "):
        assert text in done.out


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("--version", "champion"), 2, "no version of cache-policy-eviction is in Production"),
        (("--version", "77"), 2, "cache-policy-eviction has no version '77'"),
        (("--version", "1", "--max-queries", "5000", "--min-judged", "4801"), 2, "4,800 of 5,000 requests are later"),
        (("--bundle", "nowhere"), 1, "bundle nowhere cannot be read"),
    ],
)
def test_what_cannot_be_judged_is_one_line_and_leaves_nothing(
    words: tuple[str, ...],
    status: int,
    told: str,
    evaluated: dict[str, Any],
    trained: TrainedRun,
    command_line: CommandLine,
) -> None:
    before = mlflow_runs(trained.home), rows(trained.home)
    done = command_line(trained.home, "evaluate", "--source", "none", *words)
    assert (done.status, done.out) == (status, "")
    assert told in done.err.splitlines()[-1]
    assert (mlflow_runs(trained.home), rows(trained.home)) == before


def test_a_column_that_the_table_lacks_is_named(
    simulated: TrainedRun, command_line: CommandLine, tmp_path: Path
) -> None:
    import sqlite3

    with sqlite3.connect(simulated.home / "ers.db") as connection:
        names = "id, timestamp, cache_name, cache_key, load_time_ms"
        connection.execute(f"CREATE VIEW IF NOT EXISTS narrow AS SELECT {names} FROM cache_metrics")
    connection.close()
    done = command_line(simulated.home, "evaluate", "--version", 1, "--table", "narrow")
    assert (done.status, done.out) == (2, "")
    assert "table narrow lacks origin_version, which the policy was trained on" in done.err
