"""libCacheSim's oracleGeneral traces: records of 24 bytes, little endian.

    uint32 time (s), uint64 object, uint32 size (bytes, 0: unknown), int64 number of its next request (-1: none)

The number of the next request is not kept: an oracle computes it from the requests that are read.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from schemas.errors import SourceError
from tasks.ingest.formats.base import Chunk, Head, Reading, Wanted
from tasks.ingest.formats.columns import refuse_mapping
from tasks.ingest.formats.compressed import open_bytes, read_head, readable

RECORD = np.dtype([("time", "<u4"), ("object", "<u8"), ("size", "<u4"), ("next", "<i8")])
NEVER = (-1, np.iinfo(np.int64).max)
MOST_REQUESTS = 2**48
FEWEST_RECORDS = 2  # that tell the format by content


def recognises(head: Head) -> bool:
    """Tell whether the file can be cut into records, times never fall, and each next request comes later."""
    records = _records(head.data)
    whole = head.size_bytes is None or head.size_bytes % RECORD.itemsize == 0
    rising = bool(np.all(np.diff(records["time"].astype(np.int64)) >= 0))
    return whole and records.size >= FEWEST_RECORDS and rising and _plausible(records)


def read(path: Path, wanted: Wanted) -> Reading:
    """Open an oracleGeneral trace."""
    refuse_mapping(wanted.mapping, "an oracleGeneral trace")
    with readable(path):
        head = read_head(path)
    if not _plausible(_records(head.data)):
        raise SourceError(f"{path}: not oracleGeneral: a next request does not come later; say what it is by --format")
    total = None if head.size_bytes is None else head.size_bytes // RECORD.itemsize
    return Reading(_chunks(path, wanted.chunk_rows), total)


def _records(data: bytes) -> np.ndarray:
    return np.frombuffer(data, RECORD, len(data) // RECORD.itemsize)


def _plausible(records: np.ndarray) -> bool:
    """Tell whether these first records of a file name later ones, or none, as the next of their objects."""
    following = records["next"]
    later = (following > np.arange(records.size)) & (following < MOST_REQUESTS)
    return bool(np.all(later | np.isin(following, NEVER)))


def _chunks(path: Path, chunk_rows: int) -> Iterator[Chunk]:
    first_row = 1
    with readable(path), open_bytes(path) as file:
        while data := file.read(chunk_rows * RECORD.itemsize):
            records = _records(data)
            if len(data) % RECORD.itemsize:
                raise SourceError(
                    f"{path}: cut off: {len(data) % RECORD.itemsize} bytes follow record "
                    f"{first_row + records.size - 1}, and a record has {RECORD.itemsize}; copy it again"
                )
            yield Chunk(_table(records), first_row)
            first_row += records.size


def _table(records: np.ndarray) -> pa.Table:
    size = np.ascontiguousarray(records["size"])
    return pa.table(
        {
            "timestamp": np.ascontiguousarray(records["time"]),
            "cache_key": np.ascontiguousarray(records["object"]),
            "size_bytes": pa.array(size, mask=size == 0),
        }
    )
