"""The command `preview`, and the options of sources, on the command line."""

import json

import pytest

from flows.cli.main import main
from schemas.options.train import CurveConfig, IngestConfig, SourceConfig
from tests.flows.running import rows

CSV = "at,url,wind\n1700000000,GET http://Host/a?b=1&a=2,1\n1700000001,/a/7,2\n"


@pytest.fixture
def calls(tmp_path):
    path = tmp_path / "calls.csv"
    path.write_text(CSV)
    return path


def test_preview_writes_nothing_and_needs_no_server(calls, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ERS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    words = ["preview", "--source", str(calls), "--map", "key=url", "timestamp=at", "--key-rules", "safe,template-ids"]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.splitlines() == [
        "calls.csv: csv",
        "requests   2, 2023-11-14T22:13:20+00:00 to 2023-11-14T22:13:21+00:00",
        "columns    cache_key = url, timestamp = at",
        "no place   wind: the table has no such columns",
        "unknown    size_bytes 100.0%, load_time_ms 100.0%",
        "objects    2 different, 2 by lower-host, sort-query, drop-fragment, template-ids",
        "  GET http://Host/a?b=1&a=2",
        "    becomes GET http://host/a?a=2&b=1",
        "  /a/7",
        "    becomes /a/{id}",
        "first rows",
        "  2023-11-14T22:13:20+00:00  GET http://host/a?a=2&b=1  cache_name=calls",
        "  2023-11-14T22:13:21+00:00  /a/{id}  cache_name=calls",
    ]
    assert main([*words, "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["distinct_objects"] == 2
    assert shown.err.startswith("calls.csv: csv\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls.csv"]


def test_preview_says_when_ingest_would_refuse_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ERS_HOME", str(tmp_path / "home"))
    path = tmp_path / "a.log"
    path.write_text("broken\n\x1b[1m\n")
    assert main(["preview", "--source", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "a.log: access_log",
        "requests   0",
        "left out   broken lines 2",
    ]
    assert "too many broken lines: ingest would refuse the file" in lines[5]
    assert main(["preview", "--source", str(path), "--format", "jsonl"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {path}: none of the first 10,000 lines is a JSON object")


def test_what_a_file_holds_cannot_steer_the_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ERS_HOME", str(tmp_path / "home"))
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"timestamp": 1, "key": "/a\x1b[2J", "\x1b[2J": 1}))
    assert main(["preview", "--source", str(path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_reading_flows_record_a_source_with_all_of_its_options():
    options = {
        "source": "a.csv",
        "map": {"key": "url"},
        "format": "csv",
        "key_rules": ("template-ids",),
        "drop_parameters": ("a",),
        "keep_parameters": ("b",),
    }
    assert set(options) == set(SourceConfig.model_fields)
    assert CurveConfig(**options).to_ingest() == IngestConfig(**options)


@pytest.mark.slow
def test_ingest_takes_format_and_rules(calls, tmp_path, command_line):
    words = ("ingest", "--source", calls, "--map", "key=url", "timestamp=at", "--json")
    home = tmp_path / "home"
    assert command_line(home, *words).result["added_rows"] == 2
    assert command_line(home, *words, "--format", "csv").result["added_rows"] == 0
    assert command_line(home, *words, "--key-rules", "none").result["added_rows"] == 2
    assert rows(home) == {"cache_metrics": 4, "ingested_sources": 2}
