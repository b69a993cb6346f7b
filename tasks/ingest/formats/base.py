"""What the readers of request files share: the file, its head, what is wanted of it, and the rows that come out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

CHUNK_ROWS = 128 * 1024
SHOWN_REJECTIONS = 5
PEEK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Head:
    """The beginning of a file, by which its format is recognised.

    Attributes:
        data: the first PEEK_BYTES, unpacked.
        size_bytes: of the whole file; None where it is packed.
    """

    data: bytes
    size_bytes: int | None

    @cached_property
    def lines(self) -> list[str]:
        """The lines that hold more than blanks, without one that is cut off, unless it is the only one."""
        lines = self.data.decode("utf-8-sig", "backslashreplace").split("\n")
        if len(self.data) == PEEK_BYTES and len(lines) > 1:
            lines.pop()
        return [line.rstrip("\r") for line in lines if line.strip()]


@dataclass(frozen=True)
class Wanted:
    """How a file is to be read.

    Attributes:
        mapping: column of the table (or an alias of it) -> column of the file, where the names differ.
        table_columns: columns that the table has.
        chunk_rows: rows of a chunk at most; those of CSV files follow their blocks of bytes.
    """

    mapping: Mapping[str, str]
    table_columns: list[str]
    chunk_rows: int = CHUNK_ROWS


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a source.

    Attributes:
        table: columns named as in `cache_metrics`, values as the file has them.
        first_row: number of the chunk's first row, from 1 (the header of a CSV file is not counted).
        rejected_rows: lines of this chunk that are broken, hence not in `table`.
        rejections: the first of them, as sentences.
        skipped_rows: requests of this chunk that no cache may answer, hence not in `table`.
    """

    table: pa.Table
    first_row: int
    rejected_rows: int = 0
    rejections: tuple[str, ...] = ()
    skipped_rows: int = 0


@dataclass(frozen=True)
class Reading:
    """An opened source.

    Attributes:
        chunks: its rows, in order.
        total_rows: how many there are; None where only reading tells.
        columns: column of the table -> column of the file; empty where the format says what is what.
        left_out_columns: columns of the file that have no place in the table.
    """

    chunks: Iterator[Chunk]
    total_rows: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    left_out_columns: tuple[str, ...] = ()
