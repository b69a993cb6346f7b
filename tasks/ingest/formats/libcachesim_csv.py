"""CSV traces as libCacheSim reads them: time, obj_id and obj_size, with or without a header.

Without one, the first three columns are these, and `--map` takes numbers of columns from 1: key=2 size=4. With one,
columns are matched by name, or by number. A size of 0 is unknown. Blanks around values do not count.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from tasks.ingest.formats import csv
from tasks.ingest.formats.base import Chunk, Head, Reading, Wanted
from tasks.ingest.formats.columns import OWN_COLUMNS, match_columns, target_column

DEFAULT_PLACES = {"timestamp": "1", "cache_key": "2", "size_bytes": "3"}
OBJECT = "obj_id"


def recognises(head: Head) -> bool:
    """Tell whether the header names the object, or every line has the same three or more numbers, times not falling."""
    names = _stripped(csv.first_fields(head))
    if not _are_numbers(names):
        return OBJECT in names and len(names) > 1
    rows = [line.split(",") for line in head.lines]
    if len(names) < len(DEFAULT_PLACES) or not all(len(row) == len(names) and _are_numbers(row) for row in rows):
        return False
    times = [float(row[0]) for row in rows]
    return times == sorted(times)


def read(path: Path, wanted: Wanted) -> Reading:
    """Open a CSV trace."""
    first = _stripped(csv.first_line(path))
    has_header = not any(map(_is_number, first))
    numbers = [str(number) for number in range(1, len(first) + 1)]
    names = csv.require_distinct(path, first) if has_header else numbers
    mapping = {name: names[numbers.index(c)] if c in numbers else c for name, c in wanted.mapping.items()}
    if not has_header:
        mapping = {**_default_places(numbers, wanted), **mapping}
    columns, left_out = match_columns(path, names, mapping, wanted.table_columns)
    options = pa_csv.ReadOptions(block_size=csv.BLOCK_BYTES, column_names=names, skip_rows=int(has_header))
    return Reading(_cleaned(csv.chunks(path, columns, options)), None, columns, left_out)


def _default_places(numbers: list[str], wanted: Wanted) -> dict[str, str]:
    """The columns that stand where they should, but for those that the mapping places."""
    takes = [name for name in wanted.table_columns if name not in OWN_COLUMNS]
    mapped = {target_column(name, takes) for name in wanted.mapping}
    return {name: place for name, place in DEFAULT_PLACES.items() if name not in mapped and place in numbers}


def _cleaned(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    for chunk in chunks:
        columns = {name: pc.utf8_trim_whitespace(chunk.table.column(name)) for name in chunk.table.column_names}
        if "size_bytes" in columns:
            size = columns["size_bytes"]
            columns["size_bytes"] = pc.if_else(pc.equal(size, "0"), None, size)
        yield replace(chunk, table=pa.table(columns))


def _stripped(fields: list[str]) -> list[str]:
    return [field.strip() for field in fields]


def _are_numbers(fields: list[str]) -> bool:
    return bool(fields) and all(map(_is_number, fields))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
