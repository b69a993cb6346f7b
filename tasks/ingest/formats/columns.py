"""Columns of a file matched with those of the table: as the user maps them, by equal names, or by aliases."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from schemas.errors import ConfigError, SourceError
from schemas.options.train import nearest

ALIASES = {
    "time": "timestamp",
    "ts": "timestamp",
    "key": "cache_key",
    "obj_id": "cache_key",
    "cache": "cache_name",
    "endpoint": "cache_name",
    "size": "size_bytes",
    "bytes": "size_bytes",
    "obj_size": "size_bytes",
    "latency_ms": "load_time_ms",
    "hit": "was_hit",
    "version": "origin_version",
}
OWN_COLUMNS = frozenset({"id", "key_hash", "source_id"})  # the program fills these, no file does
SHOWN_NAMES_CHARS = 300


def match_columns(
    path: Path, names: list[str], mapping: Mapping[str, str], table_columns: list[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return column of the table -> column of the file, and the columns of the file that have no place.

    An entry of `mapping` wins, then an equal name, then an alias.

    Raises:
        SourceError: no column of the file holds keys or moments.
        ConfigError: `mapping` names a column that the table or the file lacks.
    """
    takes = [name for name in table_columns if name not in OWN_COLUMNS]
    chosen = {target_column(name, takes): _present(path, column, names) for name, column in mapping.items()}
    for name in names:
        if name in takes and name not in chosen:
            chosen[name] = name
    for name in names:
        target = ALIASES.get(name, "")
        if target in takes and target not in chosen and name not in chosen.values():
            chosen[target] = name
    for target, alias in (("cache_key", "key"), ("timestamp", "timestamp")):
        if target not in chosen:
            raise SourceError(f"{path}: no {alias} column; it has {_shown(names)}; name it with --map {alias}=COLUMN")
    used = set(chosen.values())
    return chosen, tuple(name for name in names if name not in used)


def target_column(name: str, takes: list[str]) -> str:
    """Return the column among `takes` that `name` of a mapping means; ConfigError when there is none."""
    target = name if name in takes else ALIASES.get(name, name)
    if target not in takes:
        raise ConfigError(f"--map {name}=...: the table takes no column {name}{nearest(name, takes)}")
    return target


def renamed(table: pa.Table, columns: Mapping[str, str]) -> pa.Table:
    """Return the columns of `table` that have a place, by the names of the table."""
    return pa.table({target: table.column(name) for target, name in columns.items()})


def refuse_mapping(mapping: Mapping[str, str], what: str) -> None:
    """Raise ConfigError when a mapping is given for a format whose fields have fixed places."""
    if mapping:
        raise ConfigError(f"--map names columns, and {what} has none")


def _present(path: Path, name: str, names: list[str]) -> str:
    if name not in names:
        raise ConfigError(f"--map ...={name}: {path} has no column {name}{nearest(name, names)}")
    return name


def _shown(names: list[str]) -> str:
    text = ", ".join(names)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= SHOWN_NAMES_CHARS else f"{text[:SHOWN_NAMES_CHARS]}..."
