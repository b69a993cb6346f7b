"""Rows that training leaves out, copied with the reason to `cache_metrics_quarantine`: none is dropped in silence.

The rows stay in their table. One that was mended, and holds what it broke before, loses its entry: the quarantine says
what is wrong now.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import sqlalchemy as sa

from infra.database.connection import storage_errors, writing
from schemas.tables import cache_metrics, cache_metrics_quarantine
from schemas.trace import IntArray

ROWS_A_STATEMENT = 5_000
Pair = tuple[int, str]  # id of a row, and the expectation that it breaks
_C = cache_metrics_quarantine.c


@dataclass(frozen=True)
class Quarantined:
    """What a validation changed.

    Attributes:
        rows: rows that are in quarantine now, of those that were judged.
        new: rows among them that were not before.
        mended: rows that were, and are valid now.
    """

    rows: int
    new: int
    mended: int


def quarantine(
    engine: sa.Engine,
    rows: pd.DataFrame,
    faults: Mapping[str, IntArray],
    table_name: str = cache_metrics.name,
    run_id: str | None = None,
) -> Quarantined:
    """Copy the rows that break expectations to the quarantine, each once for each reason; release those that hold them.

    Doing it again changes nothing.

    Args:
        engine: the database with the tables.
        rows: all that were judged, of `read_rows`.
        faults: ids of the rows that break each expectation; those without one were judged too.
        table_name: where the rows are.
        run_id: of the flow run, for the record.

    Raises:
        StorageError: the database failed; nothing was written.
    """
    wanted = {(row_id, reason) for reason, ids in faults.items() for row_id in ids.tolist()}
    with storage_errors(engine.url), engine.connect() as connection:
        present = _present(connection, rows, faults, table_name)
    if wanted != present.keys():
        common = {"table_name": table_name, "level": "error", "run_id": run_id}
        with writing(engine) as connection:
            present = _present(connection, rows, faults, table_name)  # another run may have been first
            _delete(connection, [entry for pair, entry in present.items() if pair not in wanted])
            _insert(connection, sorted(wanted - present.keys()), rows, common)
    before, now = ({row_id for row_id, _ in pairs} for pairs in (present, wanted))
    return Quarantined(len(now), len(now - before), len(before - now))


def _present(
    connection: sa.Connection, rows: pd.DataFrame, faults: Mapping[str, IntArray], table_name: str
) -> dict[Pair, int]:
    """The entries of these rows for these reasons: ids by row and reason."""
    ids = rows["id"]
    query = sa.select(_C.row_id, _C.reason, _C.id).where(
        _C.table_name == table_name, _C.reason.in_([*faults]), _C.row_id.between(int(ids.min()), int(ids.max()))
    )
    found = connection.execute(query).all()
    judged = set(ids[ids.isin({row_id for row_id, _, _ in found})].tolist())
    return {(row_id, reason): entry for row_id, reason, entry in found if row_id in judged}


def _delete(connection: sa.Connection, entries: list[int]) -> None:
    for first in range(0, len(entries), ROWS_A_STATEMENT):
        some = entries[first : first + ROWS_A_STATEMENT]
        connection.execute(sa.delete(cache_metrics_quarantine).where(_C.id.in_(some)))


def _insert(connection: sa.Connection, pairs: list[Pair], rows: pd.DataFrame, common: dict[str, Any]) -> None:
    by_id = rows.set_index("id", drop=False)
    for first in range(0, len(pairs), ROWS_A_STATEMENT):
        some = pairs[first : first + ROWS_A_STATEMENT]
        values = _as_json(by_id.loc[[row_id for row_id, _ in some]])
        entries = [
            {**common, "row_id": row_id, "reason": reason, "row_values": row}
            for (row_id, reason), row in zip(some, values, strict=True)
        ]
        connection.execute(sa.insert(cache_metrics_quarantine), entries)


def _as_json(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Each row as a dictionary; infinity, which JSON lacks, as text, and what is missing as null."""
    columns = [_json_values(rows[name]) for name in rows]
    return [dict(zip(map(str, rows), row, strict=True)) for row in zip(*columns, strict=True)]


def _json_values(column: pd.Series) -> list[Any]:
    values: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return [str(value) if value in (math.inf, -math.inf) else value for value in values]
