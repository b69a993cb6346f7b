"""Readers of request files: chunks of rows whose columns are named as in `cache_metrics`."""

import csv
import io
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from schemas.config import nearest
from schemas.errors import ConfigError, SourceError
from tasks.access_log import LoggedRequest, parse_line
from tasks.sources import SHOWN_REJECTIONS, Chunk, Reading, SourceFile, open_bytes, readable

CHUNK_ROWS = 128 * 1024
CSV_BLOCK_BYTES = 8 * 2**20
ALIASES = {
    "time": "timestamp",
    "ts": "timestamp",
    "key": "cache_key",
    "cache": "cache_name",
    "endpoint": "cache_name",
    "size": "size_bytes",
    "bytes": "size_bytes",
    "latency_ms": "load_time_ms",
    "hit": "was_hit",
    "version": "origin_version",
}
OWN_COLUMNS = frozenset({"id", "key_hash", "source_id"})  # the program fills these, no file does
LOG_SCHEMA = pa.schema(
    [
        ("timestamp", pa.timestamp("us")),
        ("cache_name", pa.string()),
        ("cache_key", pa.string()),
        ("size_bytes", pa.int64()),
    ]
)


def open_reading(source: SourceFile, mapping: Mapping[str, str], table_columns: list[str]) -> Reading:
    """Open `source` as chunks of rows.

    Args:
        source: what `identify` found.
        mapping: column of the table (or an alias of it) -> column of the file, where the names differ.
        table_columns: columns that the table has.

    Raises:
        SourceError: the file is damaged, or lacks a column that is needed. Later damage shows while chunks are read.
        ConfigError: `mapping` names what the table or the file lacks, or is given for an access log.
    """
    if source.kind == "access_log":
        if mapping:
            raise ConfigError("--map names columns of Parquet and CSV files; an access log has none")
        return Reading(_log_chunks(source.path))
    names = _parquet_columns(source.path) if source.kind == "parquet" else _csv_columns(source.path)
    columns, left_out = match_columns(source, names, mapping, table_columns)
    if source.kind == "parquet":
        with readable(source.path):
            total = pa_parquet.read_metadata(source.path).num_rows
        return Reading(_parquet_chunks(source.path, columns), total, left_out)
    return Reading(_csv_chunks(source.path, columns), None, left_out)


def match_columns(
    source: SourceFile, names: list[str], mapping: Mapping[str, str], table_columns: list[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return column of the table -> column of the file, and the columns of the file that have no place.

    An entry of `mapping` wins, then an equal name, then an alias.
    """
    takes = [name for name in table_columns if name not in OWN_COLUMNS]
    chosen = {_target(target, takes): _present(source, name, names) for target, name in mapping.items()}
    for name in names:
        if name in takes and name not in chosen:
            chosen[name] = name
    for name in names:
        target = ALIASES.get(name, "")
        if target in takes and target not in chosen and name not in chosen.values():
            chosen[target] = name
    for target, alias in (("cache_key", "key"), ("timestamp", "timestamp")):
        if target not in chosen:
            raise SourceError(
                f"{source.path}: no {alias} column; it has {', '.join(names)}; name it with --map {alias}=COLUMN"
            )
    used = set(chosen.values())
    return chosen, tuple(name for name in names if name not in used)


def _target(name: str, takes: list[str]) -> str:
    target = name if name in takes else ALIASES.get(name, name)
    if target not in takes:
        raise ConfigError(f"--map {name}=...: the table takes no column {name}{nearest(name, takes)}")
    return target


def _present(source: SourceFile, name: str, names: list[str]) -> str:
    if name not in names:
        raise ConfigError(f"--map ...={name}: {source.path} has no column {name}{nearest(name, names)}")
    return name


def _parquet_columns(path: Path) -> list[str]:
    with readable(path):
        return list(pa_parquet.read_schema(path).names)


def _parquet_chunks(path: Path, columns: dict[str, str]) -> Iterator[Chunk]:
    first_row = 1
    wanted = list(dict.fromkeys(columns.values()))
    with readable(path), pa_parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(CHUNK_ROWS, columns=wanted):
            yield Chunk(_renamed(pa.Table.from_batches([batch]), columns), first_row)
            first_row += batch.num_rows


def _csv_columns(path: Path) -> list[str]:
    with readable(path), io.TextIOWrapper(open_bytes(path), "utf-8-sig", newline="") as file:
        names = next(csv.reader(file), [])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(
            f"{path}: the first line must name each column once, it repeats {', '.join(map(repr, twice))}"
        )
    return names


def _csv_chunks(path: Path, columns: dict[str, str]) -> Iterator[Chunk]:
    first_row = 1
    wanted = list(dict.fromkeys(columns.values()))
    # Everything is read as text: a type guessed from the first block would fail on a later one.
    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(wanted, pa.string()),
        include_columns=wanted,
        null_values=[""],
        strings_can_be_null=True,
    )
    with readable(path), open_bytes(path) as file:
        reader = pa_csv.open_csv(
            file,
            read_options=pa_csv.ReadOptions(block_size=CSV_BLOCK_BYTES),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=convert,
        )
        for batch in reader:
            yield Chunk(_renamed(pa.Table.from_batches([batch]), columns), first_row)
            first_row += batch.num_rows


def _renamed(table: pa.Table, columns: dict[str, str]) -> pa.Table:
    return pa.table({target: table.column(name) for target, name in columns.items()})


def _log_chunks(path: Path) -> Iterator[Chunk]:
    first_line = 1
    with readable(path), io.TextIOWrapper(open_bytes(path), "utf-8", "backslashreplace", "\n") as lines:
        while batch := list(islice(lines, CHUNK_ROWS)):
            yield _log_chunk(batch, first_line)
            first_line += len(batch)


def _log_chunk(lines: list[str], first_line: int) -> Chunk:
    requests: list[LoggedRequest] = []
    rejections: list[str] = []
    rejected = skipped = 0
    for number, line in enumerate(lines, first_line):
        if not line.strip():
            continue
        try:
            request = parse_line(line.rstrip("\r\n"))
        except ValueError as error:
            rejected += 1
            if len(rejections) < SHOWN_REJECTIONS:
                rejections.append(f"line {number}: {error}: {line.strip()[:80]!r}")
            continue
        if request is None:
            skipped += 1
        else:
            requests.append(request)
    columns = [[getattr(request, name) for request in requests] for name in LOG_SCHEMA.names]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, LOG_SCHEMA, strict=True)], schema=LOG_SCHEMA)
    return Chunk(table, first_line, rejected, tuple(rejections), skipped)
