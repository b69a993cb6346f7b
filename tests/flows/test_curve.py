"""The flow `curve`: from a file to a table, numbers and a plot."""

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from cachesim.capacity import Capacity
from cachesim.replay import replay
from schemas.trace import Trace
from tests.flows.running import CommandLine, Done, rows

OPTIONS = ("--policies", "lru", "s3-fifo", "belady", "--points", 5)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def curve(home: Path, command_line: CommandLine, requests_parquet: Path) -> Done:
    return command_line(home, "curve", "--source", requests_parquet, *OPTIONS, "--json")


def test_the_result_is_that_of_replays_of_the_file(curve: Done, requests_parquet: Path) -> None:
    result, written = curve.result, pd.read_parquet(requests_parquet)
    keys, distinct = pd.factorize(written["key"])
    trace = Trace(
        key=keys.astype(np.int64),
        timestamp_s=written["timestamp"].to_numpy(np.float64, copy=True),
        size_bytes=written["size_bytes"].to_numpy(np.int64, copy=True),
        load_time_ms=written["load_time_ms"].to_numpy(np.float32, copy=True),
        endpoint=np.zeros(len(keys), np.int32),
        n_keys=len(distinct),
    )
    assert result["data"]["requests"] == result["data"]["all_requests"] == len(trace)
    assert result["capacities"][-1] == len(distinct)
    for policy in ("lru", "s3-fifo", "belady"):
        expected = [1 - replay(trace, policy, Capacity(c, "objects")).hit.mean() for c in result["capacities"]]
        assert result["miss_ratios"][policy] == pytest.approx(expected, abs=1e-12)


def test_the_report_holds_the_numbers_and_a_plot(curve: Done, home: Path) -> None:
    report = Path(curve.result["report"])
    assert report.parent == home / "reports"
    numbers = json.loads((report / "curve.json").read_text())
    assert numbers["miss_ratios"] == curve.result["miss_ratios"]
    picture = matplotlib.image.imread(report / "curve.png")
    assert picture.shape[0] > 400
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 50  # lines, letters
    assert sorted(path.name for path in report.iterdir()) == ["curve.json", "curve.png"]


def test_the_same_command_again_adds_nothing(
    curve: Done, home: Path, command_line: CommandLine, requests_parquet: Path
) -> None:
    before = rows(home)
    again = command_line(home, "curve", "--source", requests_parquet, *OPTIONS, "--json").result
    assert again["report"] == curve.result["report"]
    assert rows(home) == before
    assert {path.name for path in (home / "reports").iterdir()} == {Path(again["report"]).name, "validation"}
    assert len(list((home / "reports" / "validation").iterdir())) == 1


def test_the_text_is_a_table_of_capacities_by_policies(
    curve: Done, home: Path, command_line: CommandLine, requests_parquet: Path
) -> None:
    text = command_line(home, "curve", "--source", requests_parquet, *OPTIONS).out
    lines = text.splitlines()
    assert lines[0].startswith("Miss ratios (requests) on 12,000 of 12,000 requests")
    assert lines[2].split() == ["objects", "lru", "s3-fifo", "belady"]
    assert lines[3].split()[1:] == [f"{curve.result['miss_ratios'][p][0]:.4f}" for p in ("lru", "s3-fifo", "belady")]


def test_a_sample_of_the_keys_is_read_and_capacities_stay_those_of_the_whole(
    curve: Done, tmp_path: Path, command_line: CommandLine, requests_parquet: Path
) -> None:
    words = ("curve", "--source", requests_parquet, *OPTIONS, "--key-sample", 0.5, "--json")
    result = command_line(tmp_path, *words).result
    assert 0.3 * 12_000 < result["data"]["requests"] < 0.7 * 12_000
    assert result["data"]["all_requests"] == 12_000
    assert result["capacities"][-1] == pytest.approx(curve.result["capacities"][-1], rel=0.1)
    error = np.subtract(result["miss_ratios"]["lru"], curve.result["miss_ratios"]["lru"])
    assert np.abs(error[1:]).max() < 0.1  # the first capacity is two objects of the sample


def test_bytes_and_load_time_can_be_asked_for(home: Path, command_line: CommandLine, requests_parquet: Path) -> None:
    words = ("curve", "--source", requests_parquet, "--policies", "lru,gdsf", "--points", 3, "--warm-up", 0.5)
    result = command_line(home, *words, "--unit", "bytes", "--measure", "load_time", "--json").result
    assert result["unit"] == "bytes"
    assert result["data"]["judged_requests"] == 6_000
    assert list(result["miss_ratios"]) == ["lru", "gdsf"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--policies", "lru,best"), "unknown policy best; known: 2q, "),
        (("--policies", "lru,learned"), "policy learned needs a trained network"),
        (("--points", "1"), "points: "),
        (("--key-sample", "0"), "key_sample: "),
        (("--ttl-s", "0"), "ttl_s: "),
        (("--unit", "rows"), "unit: "),
        (("--source", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path, command_line: CommandLine, words: tuple[str, ...], told: str
) -> None:
    done = command_line(tmp_path, "curve", *words)
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert told in done.err
    assert rows(tmp_path) == {}
    assert not (tmp_path / "reports").exists()
