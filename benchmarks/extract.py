"""Requests into a database and back: rows a second and peak memory, beside pandas, on private servers.

    python -m benchmarks.extract [--json] [--rows 1000000] [--databases sqlite mariadb postgresql]

Written are simulated requests, made before: by `tasks.ingest.bulk_insert`, and by `DataFrame.to_sql`, the same columns
into the same table with its indexes, in one transaction each; ours hashes the keys meanwhile. Read are the rows that
become a Trace: by `read_rows` and `to_trace`, and by `pandas.read_sql` of the same columns in the same order. Each
measurement has a process of its own; peak memory is that of the process, its imports and, for writing, the rows
included.
"""

import argparse
import multiprocessing
import resource  # noqa: TID251  # psutil tells no peak on Linux
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from benchmarks.command import main, markdown, progress
from benchmarks.servers import ServerMissingError, mariadb, postgresql
from infra.database.connection import writing
from infra.database.engines import create_engine
from infra.database.schema import upgrade_schema
from schemas.errors import ConfigError
from schemas.options.simulate import SimulateConfig
from schemas.tables import cache_metrics
from tasks.extract.read import NEEDED, OPTIONAL, RowQuery, read_rows
from tasks.extract.to_trace import to_trace
from tasks.ingest.bulk_insert import bulk_insert
from tasks.ingest.record import with_hashes
from tasks.simulate.traffic import simulated_traffic

DATABASES = ("sqlite", "mariadb", "postgresql")
SEED = 0
MIB = 1024  # of the kilobytes that Linux counts in


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return rows a second, ours and the peer's, and peak memory, by database and operation."""
    rows = []
    for database in options.databases:
        with _addresses(database) as (own, peer):
            for operation, ours, theirs in (("write", _write, _pandas_write), ("read", _read, _pandas_read)):
                seconds, peak_mib = _apart(ours, own, options.rows)
                peer_seconds, peer_peak_mib = _apart(theirs, peer, options.rows)
                row = {
                    "database": database,
                    "operation": operation,
                    "rows_per_s": options.rows / seconds,
                    "peer_rows_per_s": options.rows / peer_seconds,
                    "peak_mib": peak_mib,
                    "peer_peak_mib": peer_peak_mib,
                    "seconds": seconds,
                }
                progress(str(row))
                rows.append(row)
    return {"requests": options.rows, "seed": SEED, "rows": rows}


def table(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    names = ["database", "operation", "seconds", "rows/s", "pandas rows/s", "times", "peak MiB", "pandas peak MiB"]
    cells = (
        [
            row["database"],
            row["operation"],
            f"{row['seconds']:.2f}",
            f"{row['rows_per_s']:,.0f}",
            f"{row['peer_rows_per_s']:,.0f}",
            f"{row['rows_per_s'] / row['peer_rows_per_s']:.1f}",
            f"{row['peak_mib']:,.0f}",
            f"{row['peer_peak_mib']:,.0f}",
        ]
        for row in result["rows"]
    )
    return f"{result['requests']:,} rows, seed {result['seed']}\n\n{markdown(names, cells)}"


@contextmanager
def _addresses(database: str) -> Iterator[tuple[str, str]]:
    """Two empty databases with the schema, ours and the peer's, as URLs."""
    if database == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            urls = [sa.URL.create("sqlite", database=str(Path(folder) / f"{name}.db")) for name in ("own", "peer")]
            yield _prepared(urls)
        return
    try:
        with {"mariadb": mariadb, "postgresql": postgresql}[database]() as server:
            yield _prepared([server.database(name) for name in ("own", "peer")])
    except ServerMissingError as error:
        raise ConfigError(f"{error}: install it, or leave {database} out with --databases") from error


def _prepared(urls: list[sa.URL]) -> tuple[str, str]:
    own, peer = (url.render_as_string(hide_password=False) for url in urls)
    for url in urls:
        engine = create_engine(url)
        upgrade_schema(engine, writing)
        engine.dispose()
    return own, peer


def _apart(work: Callable[[str, int], float], url: str, rows: int) -> tuple[float, float]:
    """Return the seconds that `work` tells, and the peak memory of its process in MiB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (work, url, rows))


def _measured(work: Callable[[str, int], float], url: str, rows: int) -> tuple[float, float]:
    seconds = work(url, rows)
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


def _traffic(rows: int) -> list[pa.Table]:
    return list(simulated_traffic(SimulateConfig(requests=rows, seed=SEED)).chunks())


def _write(url: str, rows: int) -> float:
    engine, chunks = create_engine(sa.make_url(url)), _traffic(rows)
    started = time.perf_counter()
    with writing(engine) as connection:
        for chunk in chunks:
            bulk_insert(connection, cache_metrics, with_hashes(chunk))
    return time.perf_counter() - started


def _pandas_write(url: str, rows: int) -> float:
    engine = create_engine(sa.make_url(url))
    frame = pd.concat([with_hashes(chunk).to_pandas() for chunk in _traffic(rows)])
    started = time.perf_counter()
    with writing(engine) as connection:
        frame.to_sql(cache_metrics.name, connection, if_exists="append", index=False, chunksize=10_000)
    return time.perf_counter() - started


def _read(url: str, rows: int) -> float:
    engine = create_engine(sa.make_url(url))
    started = time.perf_counter()
    trace = to_trace(read_rows(engine, RowQuery()))
    seconds = time.perf_counter() - started
    assert len(trace) == rows
    return seconds


def _pandas_read(url: str, rows: int) -> float:
    engine = create_engine(sa.make_url(url))
    columns = [cache_metrics.c[name] for name in (*NEEDED, *OPTIONAL)]
    query = sa.select(*columns).order_by(cache_metrics.c.timestamp, cache_metrics.c.id)
    started = time.perf_counter()
    frame = pd.read_sql(query, engine)
    seconds = time.perf_counter() - started
    assert len(frame) == rows
    return seconds


if __name__ == "__main__":
    main(__doc__, add_options, measure, table)
