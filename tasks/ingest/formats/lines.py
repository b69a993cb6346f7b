"""Files of one record a line: what is broken is counted and the first are told, the rest goes on."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from tasks.ingest.formats.base import SHOWN_REJECTIONS, Chunk
from tasks.ingest.formats.compressed import open_text, readable

Record = TypeVar("Record")
SHOWN_LINE_CHARS = 80


def line_chunks(
    path: Path,
    parse: Callable[[str], Record | None],
    to_table: Callable[[list[Record]], pa.Table],
    chunk_rows: int,
) -> Iterator[Chunk]:
    """Yield the records of `path`, `chunk_rows` lines at a time.

    Args:
        path: of the file; blank lines of it are passed over.
        parse: makes a record of a line, or None when no cache may answer it; ValueError says how the line is broken.
        to_table: makes columns of records.
        chunk_rows: lines of a chunk.
    """
    first_line = 1
    with readable(path), open_text(path) as lines:
        while batch := list(islice(lines, chunk_rows)):
            yield _chunk(batch, first_line, parse, to_table)
            first_line += len(batch)


def _chunk(
    lines: list[str],
    first_line: int,
    parse: Callable[[str], Record | None],
    to_table: Callable[[list[Record]], pa.Table],
) -> Chunk:
    records: list[Record] = []
    rejections: list[str] = []
    rejected = skipped = 0
    for number, line in enumerate(lines, first_line):
        if not line.strip():
            continue
        try:
            record = parse(line.rstrip("\r\n"))
        except ValueError as error:
            rejected += 1
            if len(rejections) < SHOWN_REJECTIONS:
                rejections.append(f"line {number}: {error}: {line.strip()[:SHOWN_LINE_CHARS]!r}")
            continue
        if record is None:
            skipped += 1
        else:
            records.append(record)
    return Chunk(to_table(records), first_line, rejected, tuple(rejections), skipped)
