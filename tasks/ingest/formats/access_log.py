"""Access logs of web servers, Common and Combined Log Format.

    host ident user [day/month/year:hour:minute:second zone] "METHOD target PROTOCOL" status bytes ["referer" "agent"]

A line that is none of this is broken: it is counted, and the first ones are told.
"""

import re
from pathlib import Path

from tasks.ingest.formats import web_log
from tasks.ingest.formats.base import Head, Reading, Wanted
from tasks.ingest.formats.columns import refuse_mapping
from tasks.ingest.formats.lines import line_chunks

INSIDE_QUOTES = r'[^"\\]*(?:\\.[^"\\]*)*'
QUOTED = f'"{INSIDE_QUOTES}"'
COMMON = (
    r"\S+ \S+ .*?\[(?P<time>[^\[\]]{1,40})\] "  # bounded, or a line of brackets takes quadratic time
    rf'"(?P<request>{INSIDE_QUOTES})" (?P<status>\d{{3}}) (?P<bytes>\d+|-)'
)
LINE = re.compile(rf"{COMMON}(?: {QUOTED} {QUOTED})?\s*")


def recognises(head: Head) -> bool:
    """Tell whether a line has the shape of either format."""
    return any(LINE.fullmatch(line) for line in head.lines)


def read(path: Path, wanted: Wanted) -> Reading:
    """Open an access log."""
    refuse_mapping(wanted.mapping, "an access log")
    return Reading(line_chunks(path, parse_line, web_log.to_table, wanted.chunk_rows))


def parse_line(line: str) -> web_log.LoggedRequest | None:
    """Return the request of `line`, or None when no cache may answer it.

    Raises:
        ValueError: the line is broken; the message says how.
    """
    match = LINE.fullmatch(line)
    if match is None:
        raise ValueError("not Common or Combined Log Format")
    return matched_request(match)


def matched_request(match: re.Match[str], load_time_s: float | None = None) -> web_log.LoggedRequest | None:
    """Return the request of a line that matched COMMON; see `parse_line`."""
    timestamp = web_log.log_time_us(match["time"])
    if not web_log.succeeded(int(match["status"])):
        return None
    method, target = web_log.split_request(match["request"])
    sent = match["bytes"]
    return web_log.cacheable(timestamp, method, target, None if sent == "-" else int(sent), load_time_s)
