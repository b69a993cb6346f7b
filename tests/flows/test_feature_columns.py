"""Flow `train` with columns of the table: what it takes, says and records, and what it refuses before it learns."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.running import CommandLine, Done, bundles, mlflow_runs, select, versions

pytestmark = pytest.mark.slow

COLUMNS = {
    "wind": ("FLOAT", lambda n: None if n % 11 == 0 else n * 37 % 101 - 50.5),
    "area": ("VARCHAR(8)", lambda n: (None, "DK1", "DK2")[n % 3]),
    "holiday": ("BOOLEAN", lambda n: n * 7 % 5 == 0),
    "session": ("TEXT", lambda n: f"session {n}"),
    "broken": ("FLOAT", lambda n: float("inf") if n == 4_321 else n % 3),
    "hit_ratio": ("FLOAT", lambda n: n % 10 / 10),
}
Train = Callable[..., Done]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, command_line: CommandLine, requests_parquet: Path) -> Path:
    """12,000 recorded requests, to which a user added columns."""
    home = tmp_path_factory.mktemp("columns")
    assert command_line(home, "ingest", "--source", requests_parquet).status == 0
    with sqlite3.connect(home / "ers.db") as database:
        ids = [row_id for (row_id,) in database.execute("SELECT id FROM cache_metrics")]
        for name, (kind, value) in COLUMNS.items():
            if name != "hit_ratio":
                database.execute(f"ALTER TABLE cache_metrics ADD COLUMN {name} {kind}")
            database.executemany(f"UPDATE cache_metrics SET {name} = ? WHERE id = ?", [(value(n), n) for n in ids])
    database.close()
    return home


@pytest.fixture(scope="module")
def train(home: Path, command_line: CommandLine) -> Train:
    options = ("--algorithm", "a2c", "--cache-fraction", 0.05, "--timesteps", 2_000, "--json")
    return lambda *words: command_line(home, "train", *options, *words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("session",),
            "session has 7,200 different values in the training span, at most 1,000 may be; group its values",
        ),
        (
            ("broken", "--max-invalid-share", "0"),
            "broken is finite: not so in 1 row (id 4321 has inf); that is 1 of 12,000 rows",
        ),
        (("item_count",), "item_count has no value in the training span; leave it out"),
        (("wind,wind",), "wind is named twice"),
        (("area", "--cache-weights", "area=1"), "cache_weights: area holds text; only numbers weigh hits"),
        (("auto", "--cache-weights", "area=1"), "cache_weights: area holds text; only numbers weigh hits"),
        (
            ("auto", "--cache-weights", "hit_ratio=1"),
            "hit_ratio is neither load_time_ms, size_bytes nor one of feature",
        ),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_a_column_that_cannot_be_used_is_refused_before_anything_is_learned(
    home: Path, train: Train, words: tuple[str, ...], told: str
) -> None:
    before = versions(home), bundles(home), mlflow_runs(home)
    done = train("--feature-columns", *words)
    assert (done.status, done.out) == (2, "")
    last = done.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert told in last
    assert "Traceback" not in done.err
    assert (versions(home), bundles(home), mlflow_runs(home)) == before


def test_auto_learns_from_what_it_found_and_says_so(home: Path, train: Train) -> None:
    done = train("--feature-columns", "auto", "--cache-weights", "ttl_s=1")
    used = ["ttl_s", "wind", "holiday", "area"]
    assert done.result["feature_columns"] == used
    said = [line for line in done.err.splitlines() if "feature_columns" in line]
    assert len(said) == 1
    assert said[0].startswith("feature_columns auto: took wind, area, holiday; left out ")
    assert "session (has 7,200 different values" in said[0]
    assert "broken (is infinite in the row of id 4321)" in said[0]
    metadata = json.loads((Path(done.result["bundle"]) / "metadata.json").read_text())
    assert metadata["feature_columns"] == used
    assert [feature["name"] for feature in metadata["features"][-5:]] == [*used[:-1], "area=DK1", "area=DK2"]
    recorded = select(home, "SELECT feature_columns FROM rl_models ORDER BY id DESC")[0][0]
    assert json.loads(recorded) == used


def test_a_column_that_the_recording_policy_influenced_is_taken_with_a_warning(train: Train) -> None:
    done = train("--feature-columns", "area", "hit_ratio")
    assert done.result["feature_columns"] == ["hit_ratio", "area"]
    warnings = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "hit_ratio tells what the recording policy did" in warnings[0]
