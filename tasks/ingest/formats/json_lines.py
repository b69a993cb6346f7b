"""JSON lines: one object a line, a row of columns or a request that a web server logged.

An object that has a status, a request (or method and URI) and no key is a logged request, and a file with such objects
is a log, unless a mapping says what its columns are. `LOG_NAMES` lists the names that are understood. Otherwise the
names in the first `NAMING_LINES` lines are the columns, matched with those of the table as in a CSV file.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.errors import SourceError
from tasks.ingest.formats import json_log, web_log
from tasks.ingest.formats.base import Head, Reading, Wanted
from tasks.ingest.formats.columns import ALIASES, OWN_COLUMNS, match_columns
from tasks.ingest.formats.compressed import open_text, readable
from tasks.ingest.formats.lines import line_chunks

NAMING_LINES = 10_000


def recognises(head: Head) -> bool:
    """Tell whether a line is a JSON object."""
    return any(_is_object(line) for line in head.lines if line.startswith("{"))


def read(path: Path, wanted: Wanted) -> Reading:
    """Open JSON lines."""
    with readable(path):
        names, is_log = _first_names(path)
    if is_log and not wanted.mapping:
        return Reading(line_chunks(path, _parse_request, web_log.to_table, wanted.chunk_rows))
    if not names:
        raise SourceError(f"{path}: none of the first {NAMING_LINES:,} lines is a JSON object")
    columns, left_out = match_columns(path, names, wanted.mapping, wanted.table_columns)
    rows = _Rows(columns, names, wanted)
    return Reading(line_chunks(path, rows.parse, rows.to_table, wanted.chunk_rows), None, columns, left_out)


def parse_object(line: str) -> dict[str, Any]:
    """Return the object of `line`; ValueError when it is none, or holds what is no text."""
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    if "\\u" in line and not _is_text(found):
        raise ValueError("half of a character, \\ud800 to \\udfff alone")
    return found


def _parse_request(line: str) -> web_log.LoggedRequest | None:
    return json_log.parse_entry(parse_object(line))


def _first_names(path: Path) -> tuple[list[str], bool]:
    """Return the names in the first lines, in order of appearance, and whether one of these is a logged request."""
    names: dict[str, None] = {}
    is_log = False
    with open_text(path) as lines:
        for found in _objects(islice(lines, NAMING_LINES)):
            names.update(dict.fromkeys(found))
            is_log = is_log or json_log.is_entry(found)
    return list(names), is_log


def _objects(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            yield parse_object(line)
        except ValueError:
            continue


class _Rows:
    """Makes rows of objects: the values of the columns that have a place."""

    def __init__(self, columns: dict[str, str], names: list[str], wanted: Wanted) -> None:
        self._columns = columns
        self._sources = tuple(columns.values())
        self._names = frozenset(names)
        self._still_free = frozenset(wanted.table_columns) - OWN_COLUMNS - columns.keys()

    def parse(self, line: str) -> tuple[Any, ...]:
        """Return the values of a line; ValueError when it holds what a column cannot, or a column that comes too late.

        A column that only later lines have would else be empty without a word.
        """
        found = parse_object(line)
        late = [name for name in found.keys() - self._names if ALIASES.get(name, name) in self._still_free]
        if late:
            raise ValueError(f"{', '.join(sorted(late))}: in none of the first {NAMING_LINES:,} lines")
        values = tuple(found.get(name) for name in self._sources)
        for name, value in zip(self._sources, values, strict=True):
            if isinstance(value, dict | list):
                raise ValueError(f"{name} holds an object or a list; a number, a text, true or false is needed")
        return values

    def to_table(self, rows: list[tuple[Any, ...]]) -> pa.Table:
        """Return `rows` as columns."""
        values = zip(*rows, strict=True) if rows else ((),) * len(self._columns)
        return pa.table({target: _array(column) for target, column in zip(self._columns, values, strict=True)})


def _array(values: tuple[Any, ...]) -> pa.Array:
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # of several kinds
        return pa.array([v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string())
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array


def _is_object(line: str) -> bool:
    return next(_objects(iter([line])), None) is not None


def _is_text(found: dict[str, Any]) -> bool:
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
