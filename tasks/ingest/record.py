"""Recording a file of requests into `cache_metrics`: in bulk, all or nothing, and once however often it is asked."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from infra.database.connection import reflected_table, writing
from schemas.errors import SourceError
from schemas.options.train import IngestConfig
from schemas.tables import MAX_MAPPING_CHARS, cache_metrics, ingested_sources, key_hash
from tasks.ingest.bulk_insert import bulk_insert
from tasks.ingest.formats import SHOWN_REJECTIONS, Chunk, SourceFile, identify, open_reading
from tasks.ingest.keys import KeyNormaliser
from tasks.ingest.rows import RowNormaliser

MAX_REJECTED_SHARE = 0.05

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class IngestedSource:
    """What the table holds of a source.

    Attributes:
        source_id: `cache_metrics.source_id` of its rows.
        name: file name, or the recipe of simulated traffic.
        rows: requests that the table holds of it.
        added_rows: of these, how many this call added; 0 when they were there.
        rejected_rows: broken lines, left out.
        first_rejections: the first of them, as sentences; only from the call that added the rows.
        skipped_rows: requests of a log that no cache may answer, left out.
        left_out_columns: columns of the file that the table lacks; only from the call that added the rows.
    """

    source_id: int
    name: str
    rows: int
    added_rows: int
    rejected_rows: int
    first_rejections: tuple[str, ...] = ()
    skipped_rows: int = 0
    left_out_columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceIdentity:
    """What makes two sources the same: `sha256` and `mapping`. Name and kind only describe it."""

    sha256: str
    mapping: str
    name: str
    kind: str


def no_progress(_done_rows: int, _total_rows: int | None) -> None:
    """Tell nobody."""


def ingest_file(
    engine: sa.Engine, config: IngestConfig, on_progress: Progress = no_progress, fewest_rows: int = 1
) -> IngestedSource:
    """Record the requests of `config.source` in one transaction; a file that is there already adds nothing.

    Args:
        engine: of `open_database`.
        config: file, column mapping and rules for keys. Two calls are the same when these and the file's content are.
        on_progress: called after each chunk with rows done and rows in all (None where unknown).
        fewest_rows: requests that a new file must have.

    Raises:
        SourceError: the file is missing, empty, damaged, lacks a column, has values that cannot be requests, has fewer
            than `fewest_rows`, or is a log with more than 5 % broken lines. Nothing was written.
        ConfigError: the mapping names columns that do not exist. Nothing was written.
        StorageError: the database failed. Nothing was written.
    """
    source = identify(Path(config.source), config.format)
    identity = SourceIdentity(source.sha256, canonical_mapping(source, config), source.path.name[-255:], source.kind)
    with writing(engine) as connection:
        known = find_source(connection, identity)
        return known or _ingest(connection, source, identity, config, on_progress, fewest_rows)


def canonical_mapping(source: SourceFile, config: IngestConfig) -> str:
    """Return what makes rows of a file's bytes: mapping, format and rules for keys, where they differ from the default.

    It is JSON, or its digest when that is longer than `MAX_MAPPING_CHARS`.
    """
    keys = KeyNormaliser.of(config)
    settings: dict[str, Any] = {"format": source.kind} if source.overruled else {}
    if keys != KeyNormaliser():
        settings["keys"] = {"rules": sorted(keys.rules), "drop": sorted(keys.drop), "keep": sorted(keys.keep)}
    text = json.dumps({"map": config.map, **settings} if settings else config.map, sort_keys=True)
    return text if len(text) <= MAX_MAPPING_CHARS else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def find_source(connection: sa.Connection, identity: SourceIdentity) -> IngestedSource | None:
    """Return the source when it was recorded before."""
    table = ingested_sources.c
    row = connection.execute(
        sa.select(ingested_sources).where(table.sha256 == identity.sha256, table.mapping == identity.mapping)
    ).one_or_none()
    if row is None:
        return None
    return IngestedSource(row.id, row.name, row.rows, 0, row.rejected_rows, skipped_rows=row.skipped_rows)


def add_source(connection: sa.Connection, identity: SourceIdentity) -> int:
    """Add the row of a source whose requests are to follow in the same transaction; return its id."""
    counts = {"rows": 0, "rejected_rows": 0, "skipped_rows": 0}
    added = connection.execute(sa.insert(ingested_sources).values(**vars(identity), **counts))
    assert added.inserted_primary_key is not None
    return int(added.inserted_primary_key[0])


def set_counts(connection: sa.Connection, source_id: int, **counts: int) -> None:
    """Set rows, rejected_rows, skipped_rows of a source."""
    connection.execute(sa.update(ingested_sources).where(ingested_sources.c.id == source_id).values(**counts))


def insert_rows(connection: sa.Connection, table: sa.Table, rows: pa.Table, source_id: int) -> None:
    """Insert checked rows, with the hash of their key."""
    source = pa.repeat(pa.scalar(source_id), rows.num_rows)
    bulk_insert(connection, table, with_hashes(rows).append_column("source_id", source))


def with_hashes(rows: pa.Table) -> pa.Table:
    """Return rows with the column key_hash; each distinct key is hashed once."""
    encoded = rows.column("cache_key").combine_chunks().dictionary_encode()
    hashes = np.array([key_hash(key) for key in encoded.dictionary.to_pylist()], np.int64)
    return rows.append_column("key_hash", pa.array(hashes[encoded.indices.to_numpy()]))


def _ingest(
    connection: sa.Connection,
    source: SourceFile,
    identity: SourceIdentity,
    config: IngestConfig,
    on_progress: Progress,
    fewest_rows: int,
) -> IngestedSource:
    table = reflected_table(connection, cache_metrics.name)
    reading = open_reading(source, config.map, [column.name for column in table.columns])
    normaliser = RowNormaliser(str(source.path), source.stem[-255:], table, KeyNormaliser.of(config))
    source_id = add_source(connection, identity)
    tally = _Tally()
    for chunk in reading.chunks:
        rows = normaliser.rows(chunk)
        if rows.num_rows:
            insert_rows(connection, table, rows, source_id)
        tally.add(chunk)
        on_progress(tally.seen_rows, reading.total_rows)
    tally.check(source, fewest_rows)
    counts = {"rows": tally.rows, "rejected_rows": tally.rejected_rows, "skipped_rows": tally.skipped_rows}
    set_counts(connection, source_id, **counts)
    return IngestedSource(
        source_id=source_id,
        name=identity.name,
        added_rows=tally.rows,
        first_rejections=tuple(tally.rejections),
        left_out_columns=reading.left_out_columns,
        **counts,
    )


class _Tally:
    """Counts over the chunks of a source."""

    def __init__(self) -> None:
        self.rows = self.rejected_rows = self.skipped_rows = 0
        self.rejections: list[str] = []

    @property
    def seen_rows(self) -> int:
        return self.rows + self.rejected_rows + self.skipped_rows

    def add(self, chunk: Chunk) -> None:
        self.rows += chunk.table.num_rows
        self.rejected_rows += chunk.rejected_rows
        self.skipped_rows += chunk.skipped_rows
        self.rejections = [*self.rejections, *chunk.rejections][:SHOWN_REJECTIONS]

    def check(self, source: SourceFile, fewest_rows: int) -> None:
        if self.rejected_rows > MAX_REJECTED_SHARE * self.seen_rows:
            raise SourceError(
                f"{source.path}: {self.rejected_rows:,} of {self.seen_rows:,} lines "
                f"({self.rejected_rows / self.seen_rows:.1%}) are broken, at most {MAX_REJECTED_SHARE:.0%} may be; "
                f"nothing was written; the first: {'; '.join(self.rejections)}"
            )
        if self.rows == 0:
            none = "no cacheable request (GET or HEAD, status 200 to 399)" if self.skipped_rows else "no rows"
            raise SourceError(f"{source.path}: {none} among {self.seen_rows:,}; nothing was written")
        if self.rows < fewest_rows:
            raise SourceError(
                f"{source.path}: {self.rows:,} requests are too few to learn from, at least {fewest_rows:,} are needed"
                "; nothing was written"
            )
