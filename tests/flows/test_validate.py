"""Rows that are invalid: left out and told everywhere, or too many, and then nothing is trained."""

import json
from pathlib import Path
from urllib.request import Request, urlopen

import pandas as pd
import pytest

from learning.bundle.load import load_bundle
from tests.flows.running import CommandLine, Done, bundles, mlflow_runs, rows, select, store

pytestmark = pytest.mark.slow

REQUESTS = 2_000
TRAIN = ("--source", "none", "--cache-size", 20, "--timesteps", 500, "--json")
FAULT = "load_time_ms >= 0 and finite"
QUARANTINE = "SELECT row_id, reason, level, row_values, run_id FROM cache_metrics_quarantine ORDER BY row_id"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, command_line: CommandLine) -> Path:
    """A database of 2,000 requests of which 10 have a load time below 0, which no ingestion lets in."""
    home, path = tmp_path_factory.mktemp("invalid"), tmp_path_factory.mktemp("source") / "requests.parquet"
    numbers = pd.Series(range(REQUESTS))
    columns = {"timestamp": 1_700_000_000 + numbers, "key": numbers * numbers % 97, "load_time_ms": 1.0 + numbers % 9}
    pd.DataFrame(columns).to_parquet(path)
    assert command_line(home, "ingest", "--source", path).status == 0
    change(home, "UPDATE cache_metrics SET load_time_ms = -1 WHERE id % 200 = 0")
    return home


def change(home: Path, statement: str) -> None:
    import sqlite3

    with sqlite3.connect(home / "ers.db") as connection:
        connection.execute(statement)
    connection.close()


@pytest.fixture(scope="module")
def refused(home: Path, command_line: CommandLine) -> tuple[Done, dict[str, int]]:
    """A training that allows no invalid row, and the rows that it left."""
    done = command_line(home, "train", *TRAIN, "--max-invalid-share", 0.001)
    return done, rows(home)


@pytest.fixture(scope="module")
def trained(home: Path, refused: object, command_line: CommandLine) -> Done:
    """A training that leaves them out, after that."""
    return command_line(home, "train", *TRAIN)


def artifacts(command_line: CommandLine) -> list[dict[str, str]]:
    """The artifacts of validations that the Prefect server has, the newest first."""
    body = {"artifacts": {"key": {"any_": ["validation"]}}, "sort": "CREATED_DESC", "limit": 5}
    request = Request(
        f"{command_line.variables['PREFECT_API_URL']}/artifacts/filter",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(request) as answer:
        found: list[dict[str, str]] = json.load(answer)
    return found


def test_too_many_invalid_rows_stop_the_run_and_are_in_quarantine(refused, home):
    done, left = refused
    assert (done.status, done.out) == (2, "")
    assert f"{FAULT}: not so in 10 rows (id 200 has -1," in done.err.splitlines()[-1]
    assert "that is 10 of 2,000 rows, 0.50%, more than max_invalid_share 0.001" in done.err.splitlines()[-1]
    assert left == {"cache_metrics": REQUESTS, "ingested_sources": 1}
    assert len(select(home, QUARANTINE)) == 10


def test_few_are_left_out_and_told(trained):
    found = trained.result["validation"]
    assert trained.result["data"]["requests"] == REQUESTS - 10
    assert (found["checked"], found["failed"], found["quarantined"], found["newly_quarantined"]) == (2_000, 10, 10, 0)
    assert f"10 of 2,000 rows are invalid and left out: {FAULT}" in trained.err
    assert "they are in cache_metrics_quarantine, 0 of them newly" in trained.err


def test_each_is_in_quarantine_once_with_its_reason_and_values(trained, home):
    entries = select(home, QUARANTINE)
    assert [row_id for row_id, *_ in entries] == list(range(200, 2_001, 200))
    assert {(reason, level) for _, reason, level, *_ in entries} == {(FAULT, "error")}
    assert all(json.loads(values)["load_time_ms"] == -1 for *_, values, _ in entries)
    assert all(run_id for *_, run_id in entries)
    assert rows(home)["cache_metrics"] == REQUESTS


def test_mlflow_has_the_page_and_the_counts(trained, home):
    run_id = trained.result["run_id"]
    metrics = store(home).get_run(run_id).data.metrics
    assert (metrics["validation/checked_rows"], metrics["validation/failed_rows"]) == (2_000, 10)
    names = {artifact.path for artifact in store(home).list_artifacts(run_id, "validation")}
    assert names == {"validation/index.html", "validation/validation.json"}
    assert FAULT.replace(">", "&gt;") in (Path(trained.result["validation"]["docs"]) / "index.html").read_text()


def test_prefect_has_a_table_of_the_expectations(trained, command_line):
    found = [one for one in artifacts(command_line) if "2,000 rows checked, 10 of them" in one["data"]]
    assert found
    assert f"| {FAULT} | error | **broken** | 10 |" in found[0]["data"]
    assert found[0]["type"] == "markdown"


def test_the_next_run_compares_with_the_data_of_the_model(trained, home, command_line):
    profile = load_bundle(bundles(home)[0]).metadata.data_profile
    assert profile is not None
    assert profile.requests == trained.result["data"]["training_requests"]
    assert json.loads(select(home, "SELECT data_profile FROM rl_models")[0][0]) == profile.model_dump(mode="json")
    assert trained.result["validation"]["compared_with"] is None
    done = command_line(home, "validate", "--source", "none", "--json")
    assert done.result["compared_with"] == "cache-policy-eviction version 1 (stage None)"
    assert set(done.result["psi"]) == {"size_bytes", "load_time_ms", "gap between requests", "cache_name"}
    assert max(done.result["psi"].values()) < 0.25
    assert command_line(home, "validate", "--decision", "ttl", "--json").result["compared_with"] is None


def test_what_fails_is_shown_whole_and_ends_with_status_2(trained, home, command_line):
    words = ("validate", "--max-invalid-share", 0.001)
    done = command_line(home, *words, "--json")
    assert done.status == 2
    assert json.loads(done.out)["passed"] is False
    assert done.err.splitlines()[-1].startswith("error: these requests cannot be trained on: ")
    shown = command_line(home, *words)
    assert shown.status == 2
    line = next(line for line in shown.out.splitlines() if FAULT in line)
    assert line.split()[-3:] == ["error", "broken", "10"]
    assert len(mlflow_runs(home)) == 1


def test_a_row_that_was_mended_is_used_again(trained, home, command_line):
    change(home, "UPDATE cache_metrics SET load_time_ms = 1 WHERE id IN (200, 400)")
    found = command_line(home, "validate", "--json")
    assert (found.result["failed"], found.result["quarantined"], found.result["released"]) == (8, 8, 2)
    assert "2 rows that were in cache_metrics_quarantine are valid now" in found.err
    assert len(select(home, QUARANTINE)) == 8


def test_columns_are_listed_without_a_server(home, command_line):
    done = command_line(home, "columns", "--json", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert {column["name"]: column["feature"] for column in done.result["columns"]}["load_time_ms"] == "no"
    assert "origin_version" in done.err
    wrong = command_line(home, "columns", "--table", "cache_metric")
    assert (wrong.status, wrong.out) == (2, "")
    assert wrong.err.startswith("error: table 'cache_metric' is not in the database ")
    assert wrong.err.count("\n") == 1
