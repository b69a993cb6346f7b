"""What a file of requests would become, from its first rows. Nothing is written."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from infra.database.connection import reflected_table
from infra.database.engines import create_engine
from schemas.errors import ConfigError
from schemas.options.train import KEY_RULES, PreviewConfig
from schemas.tables import EPOCH, cache_metrics
from tasks.ingest.formats import CHUNK_ROWS, SHOWN_REJECTIONS, Chunk, Reading, identify, open_reading
from tasks.ingest.keys import KeyNormaliser
from tasks.ingest.record import MAX_REJECTED_SHARE
from tasks.ingest.rows import RowNormaliser

SHOWN_ROWS = 5
OBJECT = ["cache_name", "cache_key"]
MAY_BE_MISSING = ("size_bytes", "load_time_ms")


@dataclass(frozen=True)
class Preview:
    """What the first rows of a file would become.

    Attributes:
        name: of the file.
        format: of the file.
        columns: column of the table -> column of the file; empty where the format says what is what.
        left_out_columns: columns of the file that the table lacks.
        total_rows: of the file; None where only reading all of it tells.
        rows: requests among the rows looked at that would be recorded.
        rejected_rows: broken lines among them.
        first_rejections: the first of these, as sentences.
        skipped_rows: requests among them that no cache may answer.
        too_many_rejected: whether so many lines are broken that `ingest` would refuse the file.
        rules: of keys, those that were asked for.
        distinct_objects_before: different (cache_name, cache_key) as the file has them.
        distinct_objects: as they would be recorded.
        first_moment: ISO 8601, of the earliest of the requests; None without any.
        last_moment: of the latest.
        missing_shares: of the requests, by column: how many have no value there.
        first_rows: the first requests as they would be recorded.
        first_changes: the first keys that the rules change, as the file has them, and what becomes of them.
    """

    name: str
    format: str
    columns: dict[str, str]
    left_out_columns: tuple[str, ...]
    total_rows: int | None
    rows: int
    rejected_rows: int
    first_rejections: tuple[str, ...]
    skipped_rows: int
    too_many_rejected: bool
    rules: tuple[str, ...]
    distinct_objects_before: int
    distinct_objects: int
    first_moment: str | None
    last_moment: str | None
    missing_shares: dict[str, float]
    first_rows: tuple[dict[str, object], ...]
    first_changes: dict[str, str]


def present_table(url: sa.URL) -> sa.Table:
    """Return `cache_metrics` as the database has it, with columns of users; as it would be made where there is none."""
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return cache_metrics  # connecting would make the file
    try:
        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                return reflected_table(connection, cache_metrics.name)
        finally:
            engine.dispose()
    except (SQLAlchemyError, ModuleNotFoundError, ConfigError):  # no such table, or no such database
        return cache_metrics


def preview_source(config: PreviewConfig, table: sa.Table) -> Preview:
    """Return what the first `config.rows` rows of `config.source` would become in `table`.

    Raises:
        SourceError: the file cannot be read as requests; `ingest` would say the same.
        ConfigError: the mapping names columns that do not exist.
    """
    source = identify(Path(config.source), config.format)
    names = [column.name for column in table.columns]
    reading = open_reading(source, config.map, names, min(config.rows, CHUNK_ROWS))
    chunks = list(_first(reading, config.rows))
    keys = KeyNormaliser.of(config)
    before, after = (
        _rows(chunks, RowNormaliser(str(source.path), source.stem[-255:], table, rules))
        for rules in (KeyNormaliser(frozenset()), keys)
    )
    rejected, skipped = (sum(getattr(chunk, name) for chunk in chunks) for name in ("rejected_rows", "skipped_rows"))
    moments = pc.min_max(after["timestamp"]).as_py()
    return Preview(
        name=source.path.name,
        format=source.kind,
        columns=dict(reading.columns),
        left_out_columns=reading.left_out_columns,
        total_rows=reading.total_rows,
        rows=after.num_rows,
        rejected_rows=rejected,
        first_rejections=tuple(told for chunk in chunks for told in chunk.rejections)[:SHOWN_REJECTIONS],
        skipped_rows=skipped,
        too_many_rejected=rejected > MAX_REJECTED_SHARE * (after.num_rows + rejected + skipped),
        rules=tuple(rule for rule in KEY_RULES if rule in keys.rules),
        distinct_objects_before=_distinct(before),
        distinct_objects=_distinct(after),
        first_moment=_iso(moments["min"]),
        last_moment=_iso(moments["max"]),
        missing_shares={name: _missing_share(after, name) for name in MAY_BE_MISSING},
        first_rows=tuple(
            {**row, "timestamp": _iso(row["timestamp"])} for row in after.slice(0, SHOWN_ROWS).to_pylist()
        ),
        first_changes=_changes(before["cache_key"], after["cache_key"]),
    )


def _first(reading: Reading, rows: int) -> Iterator[Chunk]:
    """Yield chunks until so many rows are seen; the last one may be cut."""
    left = rows
    for chunk in reading.chunks:
        yield replace(chunk, table=chunk.table.slice(0, left))
        left -= chunk.table.num_rows + chunk.rejected_rows + chunk.skipped_rows
        if left <= 0:
            return


def _rows(chunks: list[Chunk], normaliser: RowNormaliser) -> pa.Table:
    return pa.concat_tables([normaliser.rows(chunk) for chunk in chunks], promote_options="default")


def _distinct(rows: pa.Table) -> int:
    return int(rows.group_by(OBJECT).aggregate([]).num_rows)


def _missing_share(rows: pa.Table, name: str) -> float:
    if name not in rows.column_names or not rows.num_rows:
        return 1.0
    return float(rows[name].null_count / rows.num_rows)


def _changes(before: pa.ChunkedArray, after: pa.ChunkedArray) -> dict[str, str]:
    pairs = pa.table({"before": before, "after": after}).filter(pc.not_equal(before, after))
    distinct = pairs.group_by(["before", "after"], use_threads=False).aggregate([]).slice(0, SHOWN_ROWS)
    return dict(zip(distinct["before"].to_pylist(), distinct["after"].to_pylist(), strict=True))


def _iso(timestamp_us: int | None) -> str | None:
    return None if timestamp_us is None else (EPOCH + timedelta(microseconds=timestamp_us)).isoformat()
