"""Parquet files."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pa_parquet

from schemas.errors import SourceError
from tasks.ingest.formats.base import Chunk, Head, Reading, Wanted
from tasks.ingest.formats.columns import match_columns, renamed
from tasks.ingest.formats.compressed import readable

MAGIC = b"PAR1"


def recognises(head: Head) -> bool:
    """Tell whether a file is Parquet."""
    return head.data.startswith(MAGIC)


def read(path: Path, wanted: Wanted) -> Reading:
    """Open a Parquet file; only the columns that have a place are read."""
    with readable(path):
        _require_magic(path)
        metadata = pa_parquet.read_metadata(path)
        names = list(metadata.schema.to_arrow_schema().names)
    columns, left_out = match_columns(path, names, wanted.mapping, wanted.table_columns)
    return Reading(_chunks(path, columns, wanted.chunk_rows), metadata.num_rows, columns, left_out)


def _require_magic(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(16)
    if not start.startswith(MAGIC):
        raise SourceError(f"{path}: not a Parquet file, or a packed one: unpack it (it starts with {start!r})")


def _chunks(path: Path, columns: dict[str, str], chunk_rows: int) -> Iterator[Chunk]:
    first_row = 1
    wanted = list(dict.fromkeys(columns.values()))
    with readable(path), pa_parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(chunk_rows, columns=wanted):
            yield Chunk(renamed(pa.Table.from_batches([batch]), columns), first_row)
            first_row += batch.num_rows
