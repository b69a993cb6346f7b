"""Requests that a web server logged as JSON objects, with the names that nginx's variables and others have."""

from datetime import datetime
from functools import lru_cache
from typing import Any

from schemas.tables import microseconds
from tasks.ingest.formats import web_log
from tasks.ingest.timestamps import END_OF_TIME_S, unit_us

LOG_NAMES = {  # what is looked for, by the first of these names that is there
    "time": ("time_iso8601", "@timestamp", "timestamp", "time", "msec", "ts", "time_local"),
    "request": ("request",),
    "method": ("request_method", "method"),
    "uri": ("request_uri", "uri", "path", "url"),
    "status": ("status", "status_code"),
    "bytes": ("body_bytes_sent", "bytes_sent", "bytes", "size_bytes", "size"),
    "request_time": ("request_time",),
}
KEYS = frozenset({"cache_key", "key"})


def is_entry(found: dict[str, Any]) -> bool:
    """Tell whether an object is a logged request rather than a row of columns."""
    has_request = isinstance(_get(found, "request"), str) or None not in (_get(found, "method"), _get(found, "uri"))
    return has_request and _get(found, "status") is not None and KEYS.isdisjoint(found)


def parse_entry(found: dict[str, Any]) -> web_log.LoggedRequest | None:
    """Return the request of a logged object, or None when no cache may answer it.

    Raises:
        ValueError: something is missing or has a value that cannot be; the message says what.
    """
    timestamp = _moment_us(_required(found, "time"))
    if not web_log.succeeded(_whole(_required(found, "status"), "status")):
        return None
    request = _get(found, "request")
    if isinstance(request, str):
        method, target = web_log.split_request(request)
    else:
        method, target = str(_required(found, "method")), str(_required(found, "uri"))
    sent, seconds = _get(found, "bytes"), _get(found, "request_time")
    return web_log.cacheable(
        timestamp,
        method,
        target,
        None if sent in (None, "", "-") else _whole(sent, "bytes"),
        None if seconds in (None, "", "-") else _at_least_zero(seconds, "request_time"),
    )


def _get(found: dict[str, Any], what: str) -> Any:
    return next((found[name] for name in LOG_NAMES[what] if name in found), None)


def _required(found: dict[str, Any], what: str) -> Any:
    value = _get(found, what)
    if value is None:
        raise ValueError(f"no {' or '.join(LOG_NAMES[what])}")
    return value


def _at_least_zero(value: Any, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if not 0 <= number < 2**53:
        raise ValueError(f"{what} {value!r} is no number from 0")
    return number


def _whole(value: Any, what: str) -> int:
    number = _at_least_zero(value, what)
    if number != int(number):
        raise ValueError(f"{what} {value!r} is no whole number")
    return int(number)


def _moment_us(value: Any) -> int:
    if isinstance(value, str):
        return _text_us(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"time {value!r} is no moment")
    return _number_us(value)


@lru_cache(maxsize=65536)
def _text_us(text: str) -> int:
    try:
        return _number_us(float(text))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return web_log.log_time_us(text)
    return microseconds(moment)


def _number_us(number: float) -> int:
    scaled = number * unit_us(abs(number))
    if not abs(scaled) < END_OF_TIME_S * 1_000_000:
        raise ValueError(f"time {number!r} is no moment before the year 10000")
    return round(scaled)
