"""What `train` refuses: one line, exit status 2 (3 where a gate says no), and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.flows.running import CommandLine, Done, bundles, mlflow_runs, rows, versions

pytestmark = pytest.mark.slow

LOG_LINE = '10.0.0.{0} - - [17/May/2025:10:{1:02}:{2:02} +0000] "GET /item/{3} HTTP/1.1" 200 {4} "-" "curl/8"'
BROKEN_LINE = "%% the disk was full here"
Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, command_line: CommandLine) -> Refused:
    """Give a command on an empty home; return the one line that says why it was refused, without a trace of it."""

    def call(*words: object, status: int = 2) -> str:
        home = tmp_path / "home"
        done = command_line(home, *words)
        assert (done.status, done.out) == (status, "")
        assert rows(home) == {}
        assert mlflow_runs(home) == {}
        assert bundles(home) == []
        return only_error(done)

    return call


def only_error(done: Done) -> str:
    """The one line on stderr, which is an error."""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    return done.err


def write_log(path: Path, lines: int, broken: int) -> Path:
    """An access log of `lines` lines, of which `broken` are no requests, spread evenly."""
    texts = [LOG_LINE.format(i % 250, i // 60 % 60, i % 60, i * i % 97, 100 + i * i % 97) for i in range(lines)]
    for number in range(broken):
        texts[number * lines // broken] = BROKEN_LINE
    path.write_text("\n".join(texts) + "\n")
    return path


def write_parquet(path: Path, requests: int, **columns: object) -> Path:
    """A Parquet file of requests to 97 keys, with the columns given, or without those that are None."""
    numbers = pd.Series(range(requests))
    table = {"timestamp": 1_700_000_000 + numbers, "key": numbers * numbers % 97, "size_bytes": 100, **columns}
    pd.DataFrame({name: values for name, values in table.items() if values is not None}).to_parquet(path)
    return path


def test_a_missing_file(refused, tmp_path):
    assert "missing.parquet: no such file" in refused("train", "--source", tmp_path / "missing.parquet")


def test_a_parquet_file_without_a_key_column(refused, tmp_path):
    path = write_parquet(tmp_path / "keyless.parquet", 2_000, key=None, url="/")
    line = refused("train", "--source", path)
    assert "keyless.parquet" in line
    assert "key" in line
    assert "--map" in line


def test_negative_sizes(refused, tmp_path):
    path = write_parquet(tmp_path / "negative.parquet", 2_000, size_bytes=[100] * 1_500 + [-5] * 500)
    line = refused("train", "--source", path)
    assert "size_bytes" in line
    assert "1501" in line.replace(",", "")  # the first such row
    assert "-5" in line


@pytest.mark.parametrize("flow", ["ingest", "train"])
def test_a_log_of_mostly_broken_lines_is_refused_with_the_first_of_them(flow, refused, tmp_path):
    line = refused(flow, "--source", write_log(tmp_path / "access.log", lines=2_000, broken=1_200))
    assert "1,200 of 2,000" in line
    assert BROKEN_LINE in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--cache-size", 0), "cache_size: Input should be greater than or equal to 1, got '0'"),
        (("--cache-bytes", -1), "cache_bytes: Input should be greater than or equal to 1, got '-1'"),
        (("--cache-fraction", 1), "cache_fraction: Input should be less than 1, got '1'"),
        (("--algorithm", "sac"), "algorithm: Input should be 'dqn', 'ppo' or 'a2c', got 'sac'"),
        (("--feature-columns", "loadtime_ms"), "no column loadtime_ms to learn from; did you mean load_time_ms"),
        (("--feature-columns", "cache_key"), "cache_key cannot be learned from: it numbers rows or objects"),
        (("--cache-weights", "load_time=1"), "nor one of feature_columns; did you mean load_time_ms"),
        (("--cache-weights", "ttl_s=1"), "ttl_s is neither load_time_ms, size_bytes nor one of feature_columns"),
        (("--cache-weights", "size_bytes=-1"), "the weight of size_bytes must be a number >= 0, got -1.0"),
        (("--cache-weights", "size_bytes=inf"), "the weight of size_bytes must be a number >= 0, got inf"),
        (("--cache-weights", "size_bytes=0"), "cache_weights: all weights are 0; give one above 0"),
    ],
)
def test_an_option_that_cannot_be_used(words, message, refused, requests_parquet):
    assert message in refused("train", "--source", requests_parquet, *words)


def test_an_empty_table_and_no_source(refused):
    line = refused("train", "--source", "none")
    assert "the table cache_metrics is empty; record some: `python -m flows ingest" in line


def test_a_log_with_a_few_broken_lines_is_taken_without_them_and_they_are_counted(tmp_path, command_line):
    log = write_log(tmp_path / "access.log", lines=2_000, broken=20)
    done = command_line(tmp_path / "home", "ingest", "--source", log, "--json")
    assert (done.result["rows"], done.result["rejected_rows"]) == (1_980, 20)
    assert BROKEN_LINE in done.result["first_rejections"][0]
    assert "20 broken lines left out" in done.err
    assert BROKEN_LINE in done.err


def test_a_log_with_a_few_broken_lines_is_trained_on_each_time(tmp_path, command_line):
    log = write_log(tmp_path / "access.log", lines=2_000, broken=20)
    for _ in range(2):
        done = command_line(
            tmp_path / "home", "train", "--source", log, "--cache-size", 10, "--timesteps", 500, "--json"
        )
        assert done.result["data"]["requests"] == 1_980
        assert "20 broken lines left out" in done.err


def test_a_file_of_too_few_requests(refused, tmp_path):
    line = refused("train", "--source", write_parquet(tmp_path / "few.parquet", 999))
    assert "few.parquet: 999 requests are too few to learn from, at least 1,000 are needed" in line


def test_too_few_requests_in_the_table(tmp_path, command_line):
    home, path = tmp_path / "home", write_parquet(tmp_path / "few.parquet", 999)
    assert command_line(home, "ingest", "--source", path).status == 0
    before = rows(home)
    done = command_line(home, "train", "--source", "none")
    assert (done.status, done.out) == (2, "")
    assert "at least 1,000 requests: found 999" in done.err.splitlines()[-1]
    assert rows(home) == before
    assert (mlflow_runs(home), bundles(home)) == ({}, [])


@pytest.mark.parametrize(
    ("keys", "said"),
    [([5] * 2_000, "at least 2 distinct keys: found 1"), (range(2_000), "some key is asked for twice: found 0")],
    ids=["a single key", "all keys distinct"],
)
def test_keys_of_which_nothing_can_be_learned_are_refused(tmp_path, command_line, keys, said):
    home, path = tmp_path / "home", write_parquet(tmp_path / "keys.parquet", 2_000, key=keys)
    done = command_line(home, "train", "--source", path)
    assert (done.status, done.out) == (2, "")
    assert said in done.err.splitlines()[-1]
    assert (versions(home), bundles(home), mlflow_runs(home)) == ({}, [], {})


@pytest.mark.parametrize(
    ("keys", "cache_size", "said"),
    [
        (None, 97, "the cache evicts nothing on the training span"),
        ([*range(1_500), *[7] * 500], 50, "no object is requested twice in the training span"),
    ],
    ids=["the cache holds everything", "no key returns while it trains"],
)
def test_traffic_that_teaches_nothing_is_a_gate_that_says_no(tmp_path, command_line, keys, cache_size, said):
    columns = {} if keys is None else {"key": keys}
    home, path = tmp_path / "home", write_parquet(tmp_path / "small.parquet", 2_000, **columns)
    done = command_line(home, "train", "--source", path, "--cache-size", cache_size)
    assert (done.status, done.out) == (3, "")
    assert done.err.splitlines()[-1].startswith(f"error: {said}")
    assert (versions(home), bundles(home)) == ({}, [])
    assert set(mlflow_runs(home).values()) == {"FAILED"}


def test_an_mlflow_store_that_cannot_be_written_is_one_line_and_status_1(tmp_path, command_line, requests_parquet):
    uri = "sqlite:////proc/nowhere/mlflow.db"
    home = tmp_path / "home"
    done = command_line(home, "train", "--source", requests_parquet, "--json", MLFLOW_TRACKING_URI=uri)
    assert (done.status, done.out) == (1, "")
    assert [line for line in done.err.splitlines() if line.startswith("error: ")] == done.err.splitlines()[-1:]
    assert f"MLflow {uri}" in done.err
    assert "check MLFLOW_TRACKING_URI" in done.err
    assert "Traceback" not in done.err
    assert "rl_models" not in rows(home)
    assert bundles(home) == []
