"""The bytes of a source: unpacked as they are read, and what goes wrong meanwhile told as a SourceError of one line."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from schemas.errors import SourceError
from tasks.ingest.formats.base import PEEK_BYTES, Head

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
PACKED_ENDINGS = (".gz", ".zst")


def open_bytes(path: Path) -> BinaryIO:
    """Open `path` for reading, unpacked when it is gzip or Zstandard."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic.startswith(GZIP_MAGIC):
        return cast(BinaryIO, gzip.open(path, "rb"))
    if magic == ZSTD_MAGIC:
        unpacked = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
        return cast(BinaryIO, io.BufferedReader(unpacked))
    return path.open("rb")


def open_text(path: Path) -> io.TextIOWrapper:
    """Open the lines of `path`; bytes that are no UTF-8 become backslash escapes."""
    return io.TextIOWrapper(open_bytes(path), "utf-8-sig", "backslashreplace", "\n")


def read_head(path: Path) -> Head:
    """Return the beginning of `path`."""
    with path.open("rb") as raw, open_bytes(path) as file:
        magic, data = raw.read(4), file.read(PEEK_BYTES)
    packed = magic.startswith(GZIP_MAGIC) or magic == ZSTD_MAGIC
    return Head(data, None if packed else path.stat().st_size)


def unpacked_name(path: Path) -> str:
    """Return the name of `path` without .gz or .zst."""
    return next((path.name[: -len(e)] for e in PACKED_ENDINGS if path.name.lower().endswith(e)), path.name)


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
    except (OSError, pa.ArrowException, csv.Error) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise SourceError(f"{path}: cannot be read: {reason}") from error
