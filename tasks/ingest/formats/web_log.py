"""Requests of the logs of web servers, whatever the format of the log.

A cache may answer a GET or HEAD that succeeded (status 200 to 399). Other requests are well formed but not cacheable:
they are counted and left out. The key is "METHOD target"; the cache name is the first segment of the path ("/" for
files that lie at the root, such as /robots.txt), so that the requests of one endpoint share a name.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa

from schemas.tables import MAX_CACHE_KEY_CHARS, MAX_CACHE_NAME_CHARS, microseconds

TIME = re.compile(r"(\d{2})/(\w{3})/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})")
MONTHS = {
    name: number
    for number, name in enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1
    )
}
CACHEABLE_METHODS = frozenset({"GET", "HEAD"})
SCHEMA = pa.schema(
    [
        ("timestamp", pa.timestamp("us")),
        ("cache_name", pa.string()),
        ("cache_key", pa.string()),
        ("size_bytes", pa.int64()),
        ("load_time_ms", pa.float64()),
    ]
)


class LoggedRequest(NamedTuple):
    """A cacheable request of a log. `timestamp` in microseconds since 1970 UTC; None where a value is unknown."""

    timestamp: int
    cache_name: str
    cache_key: str
    size_bytes: int | None
    load_time_ms: float | None = None


def succeeded(status: int) -> bool:
    """Tell whether an answer of `status` may be kept."""
    return 200 <= status < 400


def split_request(text: str) -> tuple[str, str]:
    """Return method and target of "METHOD target PROTOCOL"; ValueError when `text` is something else."""
    parts = text.split(" ")
    if len(parts) not in (2, 3) or not all(parts):
        raise ValueError('the request is not "METHOD target PROTOCOL"')
    return parts[0], parts[1]


def cacheable(
    timestamp: int, method: str, target: str, sent_bytes: int | None, load_time_s: float | None = None
) -> LoggedRequest | None:
    """Return the request that succeeded, or None when no cache may answer its method.

    Raises:
        ValueError: its key is longer than a key may be.
    """
    if method not in CACHEABLE_METHODS:
        return None
    key = f"{method} {target}"
    if len(key) > MAX_CACHE_KEY_CHARS:
        raise ValueError(f"a key of {len(key)} characters, at most {MAX_CACHE_KEY_CHARS} are kept")
    load_time_ms = None if load_time_s is None else round(load_time_s * 1e3, 3)
    path = target.partition("?")[0].partition("#")[0]
    return LoggedRequest(timestamp, _endpoint(path), key, sent_bytes or None, load_time_ms)


@lru_cache(maxsize=65536)
def _endpoint(path: str) -> str:
    segments = [segment for segment in urlsplit(path).path.split("/") if segment]
    if not segments or (len(segments) == 1 and "." in segments[0]):
        return "/"
    return f"/{segments[0]}"[:MAX_CACHE_NAME_CHARS]


@lru_cache(maxsize=65536)
def log_time_us(text: str) -> int:
    """Return microseconds since 1970 UTC of a moment such as 17/May/2015:10:05:03 +0000; ValueError when it is none."""
    match = TIME.fullmatch(text)
    if match is None or match[2] not in MONTHS:
        raise ValueError(f"time {text!r} is not like 17/May/2015:10:05:03 +0000")
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    moment = datetime(int(year), MONTHS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
    return microseconds(moment - offset * (1 if sign == "+" else -1))


def to_table(requests: list[LoggedRequest]) -> pa.Table:
    """Return `requests` as columns."""
    columns = zip(*requests, strict=True) if requests else ((),) * len(SCHEMA)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
