"""CSV files with a header: comma separated, UTF-8, quoted as RFC 4180 says."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from schemas.errors import SourceError
from tasks.ingest.formats.base import Chunk, Head, Reading, Wanted
from tasks.ingest.formats.columns import ALIASES, match_columns, renamed
from tasks.ingest.formats.compressed import open_bytes, readable

BLOCK_BYTES = 8 * 2**20
TELLING = {"timestamp", "cache_key"}


def recognises(head: Head) -> bool:
    """Tell whether the first line names a column of keys or of moments among others."""
    names = first_fields(head)
    return len(names) > 1 and not TELLING.isdisjoint(ALIASES.get(name, name) for name in names)


def first_fields(head: Head) -> list[str]:
    """Return the fields of the first line; none where it is no CSV."""
    try:
        return next(csv.reader(head.lines[:1]), [])
    except csv.Error:
        return []


def read(path: Path, wanted: Wanted) -> Reading:
    """Open a CSV file."""
    names = require_distinct(path, first_line(path))
    columns, left_out = match_columns(path, names, wanted.mapping, wanted.table_columns)
    return Reading(chunks(path, columns, pa_csv.ReadOptions(block_size=BLOCK_BYTES)), None, columns, left_out)


def first_line(path: Path) -> list[str]:
    """Return the fields of the first line."""
    with readable(path), io.TextIOWrapper(open_bytes(path), "utf-8-sig", newline="") as file:
        return next(csv.reader(file), [])


def require_distinct(path: Path, names: list[str]) -> list[str]:
    """Return the names of a header; SourceError when one is there twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(
            f"{path}: the first line must name each column once, it repeats {', '.join(map(repr, twice))}"
        )
    return names


def chunks(path: Path, columns: dict[str, str], read_options: pa_csv.ReadOptions) -> Iterator[Chunk]:
    """Yield the rows of a CSV file as text: a type guessed from the first block would fail on a later one."""
    first_row = 1
    wanted = list(dict.fromkeys(columns.values()))
    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(wanted, pa.string()),
        include_columns=wanted,
        null_values=[""],
        strings_can_be_null=True,
    )
    with readable(path), open_bytes(path) as file:
        reader = pa_csv.open_csv(
            file,
            read_options=read_options,
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=convert,
        )
        for batch in reader:
            yield Chunk(renamed(pa.Table.from_batches([batch]), columns), first_row)
            first_row += batch.num_rows
