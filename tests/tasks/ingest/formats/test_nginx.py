"""Logs of nginx: the request time in each of the places where it is written, and what is no such time."""

import time

import pytest

from tasks.ingest.formats.nginx import LINE, parse_line
from tasks.ingest.formats.web_log import LoggedRequest

COMBINED = '10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET /prices?a=1 HTTP/1.1" 200 512 "-" "curl/8 rt=9.9"'


@pytest.mark.parametrize(
    ("more", "load_time_ms"),
    [
        ("", None),
        (" 0.123", 123.0),
        (" 1.001", 1001.0),
        (" -", None),
        (" 0.000", 0.0),
        (' "203.0.113.9" 0.123', 123.0),
        (' "rt=7.7, 10.0.0.1" 0.123', 123.0),
        (" 0.123 0.120 .", 123.0),
        (" 0.123 urt=0.120", 123.0),
        (" rt=0.123", 123.0),
        (" request_time=0.123", 123.0),
        (' request_time="0.123"', 123.0),
        (' rt=0.123 uct="0.001" uht="0.010" urt="0.120, 0.003"', 123.0),
        (' host="a rt=7.7" urt=0.120, 0.003 rt=0.123', 123.0),
        (" urt=0.120", None),
        (" rt=-", None),
        (" rt=2", 2000.0),
        ("  ", None),
    ],
)
def test_the_request_time_is_found_where_it_is_written(more, load_time_ms):
    expected = LoggedRequest(1_431_857_103_000_000, "/prices", "GET /prices?a=1", 512, load_time_ms)
    assert parse_line(COMBINED + more) == expected


@pytest.mark.parametrize("more", [" 123", " 123456", " rt=fast", " rt=-1", " nan", " 0.1s", " rt=1e3", " rt="])
def test_a_time_that_is_not_in_seconds_makes_a_broken_line(more):
    """A bare whole number is microseconds or seconds in logs of Apache."""
    with pytest.raises(ValueError, match="is not in seconds such as"):
        parse_line(COMBINED + more)


@pytest.mark.parametrize("line", ["hello", COMBINED[:-1], COMBINED + "0.123", COMBINED.replace("200", "2x0")])
def test_a_line_of_another_shape_is_broken(line):
    with pytest.raises(ValueError, match="not Combined Log Format"):
        parse_line(line)


def test_requests_that_no_cache_may_answer_are_left_out_as_in_other_logs():
    assert parse_line(COMBINED.replace("GET", "POST") + " 0.1") is None
    assert parse_line(COMBINED.replace("200", "502") + " 0.1") is None


@pytest.mark.parametrize("piece", ['"', '" ', 'x="', "=", "rt=", '\\"', "a ", '"a" '])
def test_a_hostile_line_costs_linear_time(piece):
    start_s = time.process_time()
    line = f"{COMBINED} {piece * (100_000 // len(piece))}"
    try:
        parse_line(line)
    except ValueError:
        assert LINE.fullmatch(line)
    assert time.process_time() - start_s < 2


def test_a_log_with_request_times_is_recorded_with_load_times(text_file, record, read):
    lines = [f"{COMBINED} 0.{n:03}" for n in range(99)]
    result = record(text_file("access.log", "\n".join([*lines, f"{COMBINED} 17"])))
    assert (result.rows, result.rejected_rows) == (99, 1)
    assert result.first_rejections[0].startswith("line 100: the request time '17' is not in seconds")
    assert read()["load_time_ms"].tolist() == [float(n) for n in range(99)]
