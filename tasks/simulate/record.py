"""Recording simulated traffic: into `cache_metrics`, or into a file that `ingest` reads."""

import gzip
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow.csv as pa_csv
import sqlalchemy as sa

from infra.database.connection import writing
from schemas.errors import ConfigError
from schemas.options.simulate import SimulateConfig
from schemas.tables import cache_metrics
from support.atomic import temporary_file
from tasks.ingest.record import (
    IngestedSource,
    Progress,
    SourceIdentity,
    add_source,
    find_source,
    insert_rows,
    no_progress,
    set_counts,
)
from tasks.simulate.traffic import SimulatedTraffic, simulated_traffic

GZIP_LEVEL = 6


def record_simulated(engine: sa.Engine, config: SimulateConfig, on_progress: Progress = no_progress) -> IngestedSource:
    """Record the traffic that `config` asks for in one transaction; the same traffic again adds nothing.

    Args:
        engine: of `open_database`.
        config: which traffic.
        on_progress: called after each chunk with rows done and rows in all.

    Raises:
        SourceError: the OpenAPI file cannot be used. Nothing was written.
        StorageError: the database failed. Nothing was written.
    """
    traffic = simulated_traffic(config)
    identity = SourceIdentity(traffic.sha256, "{}", traffic.name, "simulated")
    with writing(engine) as connection:
        known = find_source(connection, identity)
        if known:
            return known
        source_id = add_source(connection, identity)
        done = 0
        for rows in traffic.chunks():
            insert_rows(connection, cache_metrics, rows, source_id)
            done += rows.num_rows
            on_progress(done, traffic.requests)
        set_counts(connection, source_id, rows=traffic.requests)
    return IngestedSource(source_id, traffic.name, traffic.requests, traffic.requests, 0)


@dataclass(frozen=True)
class WrittenTraffic:
    """A file of simulated traffic: what it holds, where it is, how many requests, and its bytes."""

    name: str
    file: str
    requests: int
    file_bytes: int


def write_simulated(config: SimulateConfig, on_progress: Progress = no_progress) -> WrittenTraffic:
    """Write the traffic that `config` asks for to the CSV file `config.to`, gzip where its name ends in .gz.

    It is written aside and replaces a file of that name when it is complete; the same traffic gives the same bytes.

    Raises:
        SourceError: the OpenAPI file cannot be used. Nothing was written.
        ConfigError: the file cannot be written. A file of that name is as it was.
    """
    traffic = simulated_traffic(config)
    path = Path(config.to)
    try:
        with temporary_file(path) as place:
            _write(traffic, place, path.name.lower().endswith(".gz"), on_progress)
        return WrittenTraffic(traffic.name, str(path), traffic.requests, path.stat().st_size)
    except OSError as error:
        raise ConfigError(f"to: {path} cannot be written: {error.strerror or error}; choose another place") from error


def _write(traffic: SimulatedTraffic, path: Path, packed: bool, on_progress: Progress) -> None:
    chunks = traffic.chunks()
    first = next(chunks)
    with path.open("wb") as plain, gzip.GzipFile("", "wb", GZIP_LEVEL, plain, mtime=0) if packed else plain as file:
        done = 0
        with pa_csv.CSVWriter(file, first.schema) as writer:
            for rows in chain([first], chunks):
                writer.write_table(rows)
                done += rows.num_rows
                on_progress(done, traffic.requests)
