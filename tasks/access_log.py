"""Access logs of web servers, Common and Combined Log Format, as requests to a cache.

    host ident user [day/month/year:hour:minute:second zone] "METHOD target PROTOCOL" status bytes ["referer" "agent"]

A cache may answer a GET or HEAD that succeeded (status 200 to 399). Other requests are well formed but not cacheable:
they are counted and left out. A line that is none of this is broken: it is counted, and the first ones are told.
The key is "METHOD target"; the cache name is the first segment of the path ("/" for files that lie at the root, such
as /robots.txt), so that the requests of one endpoint share a name.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import urlsplit

from schemas.tables import MAX_CACHE_KEY_CHARS, MAX_CACHE_NAME_CHARS

LINE = re.compile(
    r"\S+ \S+ .*?\[(?P<time>[^\[\]]{1,40})\] "  # bounded, or a line of brackets takes quadratic time
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<bytes>\d+|-)'
    r'(?: "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*")?\s*'
)
TIME = re.compile(r"(\d{2})/(\w{3})/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})")
MONTHS = {
    name: number
    for number, name in enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1
    )
}
CACHEABLE_METHODS = frozenset({"GET", "HEAD"})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A cacheable request of a log. `timestamp` in microseconds since 1970 UTC; `size_bytes` None where unknown."""

    timestamp: int
    cache_name: str
    cache_key: str
    size_bytes: int | None


def is_log_line(line: bytes) -> bool:
    """Tell whether `line` has the shape of either format."""
    return LINE.fullmatch(line.decode(errors="backslashreplace")) is not None


def parse_line(line: str) -> LoggedRequest | None:
    """Return the request of `line`, or None when no cache may answer it.

    Raises:
        ValueError: the line is broken; the message says how.
    """
    match = LINE.fullmatch(line)
    if match is None:
        raise ValueError("not Common or Combined Log Format")
    timestamp = _microseconds(match["time"])
    if not 200 <= int(match["status"]) < 400:
        return None
    method, target = _request(match["request"])
    if method not in CACHEABLE_METHODS:
        return None
    sent = match["bytes"]
    return LoggedRequest(timestamp, _endpoint(target), _key(method, target), int(sent) or None if sent != "-" else None)


def _request(text: str) -> tuple[str, str]:
    parts = text.split(" ")
    if len(parts) not in (2, 3) or not all(parts):
        raise ValueError('the request is not "METHOD target PROTOCOL"')
    return parts[0], parts[1]


def _key(method: str, target: str) -> str:
    key = f"{method} {target}"
    if len(key) > MAX_CACHE_KEY_CHARS:
        raise ValueError(f"a key of {len(key)} characters, at most {MAX_CACHE_KEY_CHARS} are kept")
    return key


@lru_cache(maxsize=65536)
def _endpoint(target: str) -> str:
    segments = [segment for segment in urlsplit(target).path.split("/") if segment]
    if not segments or (len(segments) == 1 and "." in segments[0]):
        return "/"
    return f"/{segments[0]}"[:MAX_CACHE_NAME_CHARS]


@lru_cache(maxsize=65536)
def _microseconds(text: str) -> int:
    match = TIME.fullmatch(text)
    if match is None or match[2] not in MONTHS:
        raise ValueError(f"time {text!r} is not like 17/May/2015:10:05:03 +0000")
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    moment = datetime(int(year), MONTHS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
    return (moment - offset * (1 if sign == "+" else -1) - EPOCH) // timedelta(microseconds=1)
