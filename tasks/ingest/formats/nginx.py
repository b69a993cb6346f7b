"""Access logs of nginx that tell how long each request took: Combined Log Format, then `$request_time` in seconds.

    ... "referer" "agent" ["forwarded for" ...] 0.123 [more ...]
    ... "referer" "agent" ["forwarded for" ...] [name=value ...] rt=0.123 [urt=0.120 ...]      or request_time=0.123

The time becomes `load_time_ms`. A line without it, or with "-", has an unknown load time. A bare whole number is
refused: nginx writes milliseconds as decimals, and other servers mean other units by it.
"""

import re
from pathlib import Path

from tasks.ingest.formats import web_log
from tasks.ingest.formats.access_log import COMMON, QUOTED, matched_request
from tasks.ingest.formats.base import Head, Reading, Wanted
from tasks.ingest.formats.columns import refuse_mapping
from tasks.ingest.formats.lines import line_chunks

LINE = re.compile(rf"{COMMON} {QUOTED} {QUOTED}(?P<more>(?: .*)?)")
FIELD = re.compile(rf"[^\s\"=]+={QUOTED}|{QUOTED}|\S+")
NAMED = re.compile(r'(?:rt|request_time)="?(?P<seconds>[^"]*)"?')
SECONDS = re.compile(r"\d{1,9}\.\d{1,9}", re.ASCII)
NAMED_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)


def recognises(head: Head) -> bool:
    """Tell whether a line has this shape and a time."""
    return any(_tells_time(line) for line in head.lines)


def read(path: Path, wanted: Wanted) -> Reading:
    """Open a log of nginx."""
    refuse_mapping(wanted.mapping, "a log of nginx")
    return Reading(line_chunks(path, parse_line, web_log.to_table, wanted.chunk_rows))


def parse_line(line: str) -> web_log.LoggedRequest | None:
    """Return the request of `line`, or None when no cache may answer it.

    Raises:
        ValueError: the line is broken; the message says how.
    """
    match = LINE.fullmatch(line)
    if match is None:
        raise ValueError("not Combined Log Format with what nginx adds")
    return matched_request(match, _request_time_s(match["more"]))


def _request_time_s(more: str) -> float | None:
    """Return the seconds among the fields that follow the agent."""
    bare = [field for field in FIELD.findall(more) if not field.startswith('"')]
    for named in filter(None, map(NAMED.fullmatch, bare)):
        return _seconds(named["seconds"], NAMED_SECONDS)
    return _seconds(bare[0], SECONDS) if bare and "=" not in bare[0] else None


def _seconds(text: str, shape: re.Pattern[str]) -> float | None:
    if text == "-":
        return None
    if shape.fullmatch(text) is None:
        raise ValueError(f"the request time {text[:20]!r} is not in seconds such as 0.123")
    return float(text)


def _tells_time(line: str) -> bool:
    match = LINE.fullmatch(line)
    try:
        return match is not None and _request_time_s(match["more"]) is not None
    except ValueError:
        return False
