"""A file of requests: what it is, its digest, and how its bytes are read. Its failures are SourceErrors of one line."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, cast

import pyarrow as pa

from schemas.errors import SourceError
from tasks.access_log import is_log_line

Kind = Literal["parquet", "csv", "access_log"]
ENDINGS = (".gz", ".parquet", ".csv", ".log")
GZIP_MAGIC = b"\x1f\x8b"
PARQUET_MAGIC = b"PAR1"
PEEK_BYTES = 64 * 1024
SHOWN_REJECTIONS = 5


@dataclass(frozen=True)
class SourceFile:
    """A file that was recognised. `sha256` is of its bytes as they lie; `stem` is its name without known endings."""

    path: Path
    kind: Kind
    sha256: str

    @property
    def stem(self) -> str:
        """File name without .gz, .parquet, .csv, .log; the name of a cache when the file names none."""
        return _stem(self.path.name)


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
    """An opened source: its chunks in order, its rows when known, and the columns that have no place in the table."""

    chunks: Iterator[Chunk]
    total_rows: int | None = None
    left_out_columns: tuple[str, ...] = field(default=())


def identify(path: Path) -> SourceFile:
    """Return what `path` is, by its content, and by its name where the content leaves it open.

    Raises:
        SourceError: it is missing, empty, no file, cannot be read, or nothing that is known.
    """
    with readable(path):
        if not path.exists():
            raise SourceError(f"{path}: no such file")
        if not path.is_file():
            raise SourceError(f"{path}: not a file; give one Parquet file, CSV file or access log")
        if path.stat().st_size == 0:
            raise SourceError(f"{path}: the file is empty")
        kind = _kind(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return SourceFile(path, kind, digest)


def open_bytes(path: Path) -> BinaryIO:
    """Open `path` for reading, decompressed when it is gzip."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what goes wrong while `path` is read into one SourceError line."""
    try:
        yield
    except EOFError as error:
        raise SourceError(f"{path}: the gzip file ends too early; copy it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{path}: damaged gzip file ({error}); copy it again") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not UTF-8 text ({error.reason}); convert it") from error
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise SourceError(f"{path}: cannot be read: {reason}") from error


def _kind(path: Path) -> Kind:
    with open_bytes(path) as file:
        head = file.read(PEEK_BYTES)
    name = path.name.lower().removesuffix(".gz")
    if head.startswith(PARQUET_MAGIC):
        return "parquet"
    if name.endswith(".parquet"):
        raise SourceError(f"{path}: not a Parquet file, in spite of its name (it starts with {head[:16]!r})")
    if name.endswith(".csv"):
        return "csv"
    if name.endswith(".log") or any(is_log_line(line) for line in head.splitlines()):
        return "access_log"
    raise SourceError(f"{path}: neither Parquet nor an access log; a CSV file must be named .csv")


def _stem(name: str) -> str:
    for ending in ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return _stem(name[: -len(ending)])
    return name
