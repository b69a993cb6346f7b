"""JSON lines: rows of columns, or requests that a web server logged."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError, SourceError
from tasks.ingest.formats import json_lines
from tasks.ingest.formats.json_lines import parse_object
from tasks.ingest.formats.json_log import parse_entry
from tasks.ingest.formats.web_log import LoggedRequest

ENTRY = {"time_iso8601": "2026-03-01T11:00:00+01:00", "request": "GET /prices?a=1 HTTP/1.1", "status": 200}
MOMENT_US = 1_772_359_200_000_000


def lines(*objects: object) -> str:
    return "\n".join(json.dumps(one) for one in objects)


def test_rows_of_columns_are_matched_as_those_of_a_csv_file(text_file, record, read):
    path = text_file(
        "calls.jsonl",
        lines(
            {"time": 1, "url": "a", "size": 10, "hit": True, "wind": 1},
            {"time": 2, "url": 17, "hit": None},
            {"url": "c", "size": "30", "time": "3"},
        ),
    )
    result = record(path, key="url")
    rows = read()
    assert result.left_out_columns == ("wind",)
    assert rows["cache_key"].tolist() == ["a", "17", "c"]
    assert rows["timestamp"].tolist() == [1_000_000, 2_000_000, 3_000_000]
    assert rows["size_bytes"].fillna(0).tolist() == [10, 0, 30]
    assert rows["was_hit"].tolist()[0] == 1
    assert rows["cache_name"].tolist() == ["calls"] * 3


def test_whole_numbers_of_any_size_stay_exact(text_file, record, read):
    record(text_file("a.jsonl", lines({"ts": 1, "key": 2**60, "size": 2**53 + 1}, {"ts": 2.5, "key": "x", "size": 1})))
    assert read()["cache_key"].tolist() == [str(2**60), "x"]
    assert read()["size_bytes"].tolist() == [2**53 + 1, 1]
    assert read()["timestamp"].tolist() == [1_000_000, 2_500_000]


def test_broken_lines_are_counted_and_told(text_file, record):
    broken = ["{", "[1]", '{"ts": 1, "key": {"a": 1}}', '{"ts": 1, "key": "\\ud800"}', '{"ts": 1, "key": "a\\x"}']
    good = [lines({"ts": n, "key": n}) for n in range(95)]
    result = record(text_file("a.jsonl", "\n".join([*good, "", *broken])))
    assert (result.rows, result.rejected_rows) == (95, 5)
    told = [sentence.split(": ")[1] for sentence in result.first_rejections]
    assert told[:2] == ["not JSON", "not a JSON object"]
    assert told[2].startswith("key holds an object or a list")
    assert told[3].startswith("half of a character")
    assert result.first_rejections[0].startswith("line 97: ")


def test_a_column_that_comes_too_late_is_a_broken_line_and_no_silent_gap(text_file, record, monkeypatch):
    monkeypatch.setattr(json_lines, "NAMING_LINES", 50)
    early = [{"ts": n, "key": n} for n in range(99)]
    result = record(text_file("a.jsonl", lines(*early, {"ts": 1, "key": 1, "bytes": 7, "other": 1})))
    assert result.first_rejections[0].startswith("line 100: bytes: in none of the first 50 lines")
    assert record(text_file("b.jsonl", lines(*early, {"ts": 1, "key": 1, "other": 1}))).rows == 100


def test_a_column_that_is_there_for_a_while_only_has_gaps(text_file, record, read, monkeypatch):
    monkeypatch.setattr(json_lines, "NAMING_LINES", 1)
    record(text_file("a.jsonl", lines({"ts": 1, "key": 1, "size": None}, {"ts": 2, "key": 2}, {"ts": 3, "key": 3})))
    assert read()["size_bytes"].isna().all()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"map": {"key": "urk"}}, "has no column urk; did you mean url"),
        ({"map": {"sise": "url"}}, "takes no column sise"),
    ],
)
def test_a_mapping_of_what_does_not_exist_is_refused(text_file, ingest, changes, told):
    with pytest.raises(ConfigError, match=told):
        ingest(text_file("a.jsonl", lines({"ts": 1, "url": "a"})), **changes)


def test_no_object_at_all_is_told(text_file, record):
    with pytest.raises(SourceError, match="none of the first 10,000 lines is a JSON object"):
        record(text_file("a.jsonl", "[1]\n2\n"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (MOMENT_US, None, None)),
        ({"body_bytes_sent": "512", "request_time": "0.123"}, (MOMENT_US, 512, 123.0)),
        ({"bytes_sent": 0, "request_time": "-", "status": "304"}, (MOMENT_US, None, None)),
        ({"time_iso8601": "1772359200.000001"}, (MOMENT_US + 1, None, None)),
        ({"time_iso8601": 1_772_359_200_001}, (MOMENT_US + 1000, None, None)),
        ({"time_iso8601": "01/Mar/2026:10:00:00 +0000"}, (MOMENT_US, None, None)),
        ({"time_iso8601": "2026-03-01 10:00:00"}, (MOMENT_US, None, None)),
    ],
)
def test_a_logged_request_is_understood(changes, expected):
    timestamp, size_bytes, load_time_ms = expected
    assert parse_entry(ENTRY | changes) == LoggedRequest(
        timestamp, "/prices", "GET /prices?a=1", size_bytes, load_time_ms
    )


@pytest.mark.parametrize(("method", "uri"), [("method", "uri"), ("request_method", "request_uri"), ("method", "path")])
def test_method_and_uri_may_stand_apart(method, uri):
    entry = {"ts": 1772359200.5, method: "GET", uri: "/a b", "status": 200}
    assert parse_entry(entry) == LoggedRequest(MOMENT_US + 500_000, "/a b", "GET /a b", None)


@pytest.mark.parametrize("changes", [{"status": 404}, {"request": "POST /a HTTP/1.1"}, {"status": 400, "request": ""}])
def test_requests_that_no_cache_may_answer_are_left_out(changes):
    assert parse_entry(ENTRY | changes) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"time_iso8601": None}, "no time_iso8601 or "),
        ({"time_iso8601": "yesterday"}, "time 'yesterday' is not like"),
        ({"time_iso8601": True}, "is no moment"),
        ({"time_iso8601": 1e30}, "no moment before the year 10000"),
        ({"time_iso8601": float("nan")}, "no moment before the year 10000"),
        ({"status": "ok"}, "status 'ok' is no number from 0"),
        ({"request": "GET"}, "METHOD target PROTOCOL"),
        ({"bytes": 1.5}, "bytes 1.5 is no whole number"),
        ({"bytes": -1}, "bytes -1 is no number from 0"),
        ({"request_time": "slow"}, "request_time 'slow' is no number"),
        ({"request_time": 1e400}, "request_time inf is no number"),
        ({"bytes": [1]}, "is no number from 0"),
    ],
)
def test_a_broken_entry_says_how(changes, told):
    with pytest.raises(ValueError, match=told):
        parse_entry(ENTRY | changes)


@given(st.one_of(st.text(max_size=60), st.dictionaries(st.sampled_from([*ENTRY, "bytes"]), st.none() | st.integers()
       | st.text(max_size=5) | st.floats() | st.lists(st.none(), max_size=1)).map(json.dumps)))  # fmt: skip
def test_no_line_at_all_crashes_the_parsers(line):
    with contextlib.suppress(ValueError):
        parse_entry(parse_object(line))


def test_a_line_nested_without_end_is_broken():
    with pytest.raises(ValueError, match="not JSON"):
        parse_object('{"a":' * 100_000)


def test_a_json_log_is_recorded(text_file, record, read):
    entries = [ENTRY | {"body_bytes_sent": n, "request_time": n / 1000} for n in range(1, 99)]
    result = record(text_file("access.log.zst", lines(*entries, ENTRY | {"status": 500}, {"msg": "reopened"})))
    assert (result.rows, result.skipped_rows, result.rejected_rows) == (98, 1, 1)
    assert read()["load_time_ms"].tolist() == [float(n) for n in range(1, 99)]
    assert read()["cache_name"].unique().tolist() == ["/prices"]


def test_a_mapping_or_a_key_makes_rows_of_what_looks_like_a_log(text_file, record, read):
    entry = {"time": 1, "method": "GET", "path": "/a", "status": 200}
    record(text_file("mapped.jsonl", lines(entry)), key="path")
    record(text_file("keyed.jsonl", lines(entry | {"key": "k"})))
    assert read()["cache_key"].tolist() == ["/a", "k"]
