"""Command `columns`: what a table holds, and which columns can be learned from. No flow: it orchestrates nothing."""

from typing import Any

from infra.database.connection import open_database
from infra.settings import load_settings
from schemas.options.train import ColumnsConfig
from tasks.extract.describe_table import describe_columns

HEADINGS = ("column", "type", "missing", "range", "feature", "why not")


def columns(config: ColumnsConfig) -> dict[str, Any]:
    """Return what each column of a table holds, as JSON."""
    engine = open_database(load_settings())
    try:
        return describe_columns(engine, config.table)
    finally:
        engine.dispose()


def summary(result: dict[str, Any]) -> str:
    """Return the result of the command as text: a line a column."""
    lines = [HEADINGS, *map(_cells, result["columns"])]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    table = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    judged = f"; features judged by the newest {result['judged_rows']:,}" if result["judged_rows"] else ""
    return "\n".join([f"{result['table']}: {result['rows']:,} rows{judged}", "", *(f"  {line}" for line in table)])


def _cells(column: dict[str, Any]) -> tuple[str, ...]:
    missing = "" if column["null_share"] is None else f"{column['null_share']:.1%}"
    return column["name"], column["type"], missing, _range(column), column.get("feature", ""), column.get("why", "")


def _range(column: dict[str, Any]) -> str:
    if column["different"] is not None:
        return f"{column['different']:,} different"
    return "" if column["min"] is None else f"{_shown(column['min'])} .. {_shown(column['max'])}"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
