"""The formats of request files: recognised by content, by name where the content leaves it open, or said by the user.

To add one: a module with `recognises(head)` and `read(path, wanted)`, and a line in `FORMATS`.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import SourceError
from schemas.options.train import Format
from tasks.ingest.formats import access_log, csv, json_lines, libcachesim_csv, nginx, oracle_general, parquet
from tasks.ingest.formats.base import CHUNK_ROWS, Head, Reading, Wanted
from tasks.ingest.formats.compressed import PACKED_ENDINGS, read_head, readable, unpacked_name


@dataclass(frozen=True)
class SourceFormat:
    """A format of request files.

    Attributes:
        recognises: tells it by the beginning of a file.
        read: opens a file as chunks of rows; see `open_reading`.
        endings: names that say it, in lower case, before .gz or .zst.
    """

    recognises: Callable[[Head], bool]
    read: Callable[[Path, Wanted], Reading]
    endings: tuple[str, ...] = ()


FORMATS: dict[Format, SourceFormat] = {  # the first that recognises a file has it
    "parquet": SourceFormat(parquet.recognises, parquet.read, (".parquet",)),
    "oracle_general": SourceFormat(
        oracle_general.recognises, oracle_general.read, (".oraclegeneral.bin", ".oraclegeneral")
    ),
    "jsonl": SourceFormat(json_lines.recognises, json_lines.read, (".jsonl", ".ndjson")),
    "libcachesim_csv": SourceFormat(libcachesim_csv.recognises, libcachesim_csv.read),
    "csv": SourceFormat(csv.recognises, csv.read, (".csv",)),
    "nginx": SourceFormat(nginx.recognises, nginx.read),
    "access_log": SourceFormat(access_log.recognises, access_log.read, (".log",)),
}


@dataclass(frozen=True)
class SourceFile:
    """A file whose format is known.

    Attributes:
        path: where it lies.
        kind: its format.
        overruled: whether the user said the format, and it is not what the file shows.
    """

    path: Path
    kind: Format
    overruled: bool = False

    @property
    def sha256(self) -> str:
        """Digest of its bytes as they lie; SourceError when it cannot be read."""
        with readable(self.path), self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def stem(self) -> str:
        """File name without known endings; the name of a cache when the file names none."""
        return _stem(self.path.name)


def identify(path: Path, said: Format | None = None) -> SourceFile:
    """Return what `path` is: of the format `said`, else by its content, and by its name where that leaves it open.

    Raises:
        SourceError: it is missing, empty, no file, cannot be read, or nothing that is known.
    """
    with readable(path):
        if not path.exists():
            raise SourceError(f"{path}: no such file")
        if not path.is_file():
            raise SourceError(f"{path}: not a file; give one file of requests")
        if path.stat().st_size == 0:
            raise SourceError(f"{path}: the file is empty")
        shown = _shown_format(path)
    if said is None and shown is None:
        raise SourceError(
            f"{path}: not recognised by its content nor its name; say what it is with --format {'|'.join(FORMATS)}"
        )
    kind = said or shown
    assert kind is not None
    return SourceFile(path, kind, kind != shown)


def open_reading(
    source: SourceFile, mapping: Mapping[str, str], table_columns: list[str], chunk_rows: int = CHUNK_ROWS
) -> Reading:
    """Open `source` as chunks of rows.

    Args:
        source: what `identify` found.
        mapping: column of the table (or an alias of it) -> column of the file, where the names differ.
        table_columns: columns that the table has.
        chunk_rows: rows of a chunk at most; those of CSV files follow their blocks of bytes.

    Raises:
        SourceError: the file is damaged, of another format than was said, or lacks a column that is needed. Later
            damage shows while chunks are read.
        ConfigError: `mapping` names what the table or the file lacks, or is given for a format without columns.
    """
    return FORMATS[source.kind].read(source.path, Wanted(mapping, table_columns, chunk_rows))


def _shown_format(path: Path) -> Format | None:
    head = read_head(path)
    by_content = (kind for kind, known in FORMATS.items() if known.recognises(head))
    name = unpacked_name(path).lower()
    by_name = (kind for kind, known in FORMATS.items() if name.endswith(known.endings or ("/",)))
    return next(by_content, None) or next(by_name, None)


def _stem(name: str) -> str:
    endings = (*PACKED_ENDINGS, *(ending for known in FORMATS.values() for ending in known.endings))
    for ending in endings:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return _stem(name[: -len(ending)])
    return name
