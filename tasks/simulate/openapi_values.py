"""Plausible values of a parameter, from its JSON schema: as texts, different from each other, at most 1,000."""

import datetime
import math
import random
import uuid
from typing import Any

Schema = dict[str, Any]
MOST_VALUES = 1_000
MOST_DAYS, MOST_HOURS, MOST_STEPS = 365, 720, 20
BEYOND_ALL = 1e300  # no bound
NEWEST_DAY = datetime.date(2026, 3, 11)  # the last one of the simulated traffic


def values_of(name: str, schema: Schema) -> list[str]:
    """Return values that a parameter may take; none where it is an object.

    An enumeration gives all its values. Else the examples and the default come first, then what type, format and range
    allow; a text without a format that has examples takes only these.

    Args:
        name: of the parameter; texts that nothing pins down are made of it.
        schema: of the parameter, references resolved; `example`, `examples` and `default` of it are used.
    """
    if schema.get("enum") or "const" in schema:
        return _texts(listed(schema.get("enum")) or [schema.get("const")])
    stated = _texts([schema.get("example"), *listed(schema.get("examples")), schema.get("default")])
    kind = _type(schema)
    if kind == "array":
        items = schema.get("items")
        return stated or values_of(name, items if isinstance(items, dict) else {})
    if kind == "object":
        return []
    if kind == "string" and "format" not in schema and stated:
        return stated
    return list(dict.fromkeys([*stated, *_generated(name, kind, schema)]))[:MOST_VALUES]


def _type(schema: Schema) -> str:
    types = schema.get("type", "object" if "properties" in schema else "string")
    return next((str(kind) for kind in listed(types) or [types] if kind != "null"), "string")


def _generated(name: str, kind: str, schema: Schema) -> list[str]:
    if kind == "boolean":
        return ["true", "false"]
    if kind == "integer":
        return _whole_numbers(schema)
    if kind == "number":
        return _numbers(schema)
    if schema.get("format") == "date":
        return [(NEWEST_DAY - datetime.timedelta(days)).isoformat() for days in range(MOST_DAYS)]
    if schema.get("format") == "date-time":
        newest = datetime.datetime.combine(NEWEST_DAY, datetime.time(23))
        return [f"{(newest - datetime.timedelta(hours=hours)).isoformat()}Z" for hours in range(MOST_HOURS)]
    if schema.get("format") == "uuid":
        drawn = random.Random(name)
        return [str(uuid.UUID(int=drawn.getrandbits(128), version=4)) for _ in range(MOST_VALUES)]
    return [f"{name}{number}" for number in range(1, MOST_VALUES + 1)]


def _whole_numbers(schema: Schema) -> list[str]:
    step = max(1, math.ceil(_number(schema, "multipleOf") or 1))
    low, high = _bounds(schema, step)
    if low is None:
        low = 1 if high is None or high >= 1 else high - (MOST_VALUES - 1) * step
    first = -(-math.ceil(low) // step) * step
    last = first + (MOST_VALUES - 1) * step
    last = last if high is None else min(last, math.floor(high))
    return [str(number) for number in range(first, max(last, first) + 1, step)]


def _numbers(schema: Schema) -> list[str]:
    low, high = _bounds(schema, 0)
    low = low if low is not None else min(0.0, 0.0 if high is None else high - 1)
    high = high if high is not None else max(1.0, low + 1)
    return [f"{low + (high - low) * (step + 0.5) / MOST_STEPS:g}" for step in range(MOST_STEPS)]  # inside, not on them


def _bounds(schema: Schema, beyond: int) -> tuple[float | None, float | None]:
    """Lowest and highest value; `beyond` an exclusive bound. OpenAPI 3.0 flags those, 3.1 gives them as numbers."""
    found: list[float | None] = []
    for side, name, exclusive in ((1, "minimum", "exclusiveMinimum"), (-1, "maximum", "exclusiveMaximum")):
        bound, beside = _number(schema, name), _number(schema, exclusive)
        if beside is not None:
            found.append(beside + side * beyond)
        else:
            found.append(bound + side * beyond if bound is not None and schema.get(exclusive) is True else bound)
    return found[0], found[1]


def _number(schema: Schema, name: str) -> float | None:
    value = schema.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < BEYOND_ALL
    return value if is_number else None


def listed(value: Any) -> list[Any]:
    """Return `value` where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def _texts(values: list[Any]) -> list[str]:
    """Values as they stand in an address; those that do not are left out."""
    return list(dict.fromkeys(text for value in values if (text := _text(value))))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.date):  # YAML reads dates, and moments, as such
        return value.isoformat()
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value) if isinstance(value, str | int | float) else ""
