"""Filling the energy tables with plausible hours: all or nothing, and once however often it is asked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from infra.database.connection import writing
from schemas.energy_tables import (
    branche,
    consumption,
    energy_seed,
    exchange,
    municipality,
    price_area,
    production,
    request_cache,
)
from schemas.errors import ConfigError
from schemas.options.simulate import SeedConfig
from schemas.tables import EPOCH
from schemas.trace import FloatArray
from tasks.ingest.bulk_insert import bulk_insert
from tasks.ingest.record import Progress, no_progress
from tasks.simulate.energy_hours import AREAS, BRANCHES, ENERGY_VERSION, LINES, EnergyHours, energy_hours
from tasks.simulate.energy_keys import FIRST_BRANCH, FIRST_MUNICIPALITY

SEEDED = (price_area, municipality, branche, production, consumption, exchange)
EXCHANGE_DECIMALS = 6  # of MWh

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class SeededTables:
    """What the energy tables hold, and whether this call put it there: `added_rows` is 0 where it was there."""

    days: int
    seed: int
    rows: int
    added_rows: int
    replaced_rows: int


def seed_tables(engine: sa.Engine, config: SeedConfig, on_progress: Progress = no_progress) -> SeededTables:
    """Fill the energy tables in one transaction; the same options again add nothing, others replace what was seeded.

    Answers in `request_cache` go with the hours that they were made of.

    Args:
        engine: of `open_database`.
        config: how many days, and the seed.
        on_progress: called after each part with rows done and rows in all.

    Raises:
        ConfigError: a table holds rows that no seed put there. Nothing was written.
        StorageError: the database failed. Nothing was written.
    """
    recipe = {"generator_version": ENERGY_VERSION, "days": config.days, "seed": config.seed}
    with writing(engine) as connection:
        present = connection.execute(sa.select(energy_seed)).mappings().one_or_none()
        if present and all(present[name] == value for name, value in recipe.items()):
            return SeededTables(config.days, config.seed, present["rows"], 0, 0)
        if present is None:
            _refuse_rows_of_others(connection)
        for table in (*SEEDED, request_cache, energy_seed):
            connection.execute(sa.delete(table))
        rows = _fill(connection, energy_hours(config.days, config.seed), on_progress)
        connection.execute(sa.insert(energy_seed).values(id=1, rows=rows, **recipe))
    return SeededTables(config.days, config.seed, rows, rows, present["rows"] if present else 0)


def _refuse_rows_of_others(connection: sa.Connection) -> None:
    for table in SEEDED:
        if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
            raise ConfigError(
                f"the table {table.name} holds rows that no seed put there: empty it, or seed another database (DB_URL)"
            )


def _fill(connection: sa.Connection, hours: EnergyHours, on_progress: Progress) -> int:
    """Insert all rows; return how many."""
    places, moments = hours.area.size, hours.hour.size
    total = len(AREAS) + places + len(BRANCHES) + moments * (places * (1 + len(BRANCHES)) + 2 * len(LINES))
    done = 0
    for table, columns in _parts(hours):
        rows = pa.table(dict(columns))
        bulk_insert(connection, table, rows)
        done += rows.num_rows
        on_progress(done, total)
    return done


def _parts(hours: EnergyHours) -> Iterator[tuple[sa.Table, Columns]]:
    """The rows of each table as columns, in the order of its key; those of hours a place at a time."""
    areas = [code for code, _, _ in AREAS]
    branches = [FIRST_BRANCH + number for number in range(len(BRANCHES))]
    places = [FIRST_MUNICIPALITY + number for number in range(hours.area.size)]
    midnight = EPOCH.replace(tzinfo=None)  # as it is stored
    moments = [midnight + timedelta(hours=hour) for hour in hours.hour.tolist()]
    yield price_area, {"code": areas, "name": [name for _, name, _ in AREAS]}
    yield branche, {"code": branches, "name": [name for name, _, _ in BRANCHES]}
    yield (
        municipality,
        {
            "code": places,
            "name": [f"Municipality {code}" for code in places],
            "price_area": [areas[number] for number in hours.area.tolist()],
            "inhabitants": hours.inhabitants.tolist(),
        },
    )
    for number, place in enumerate(places):
        yield production, _production(place, moments, hours.production_mwh[number])
        yield consumption, _consumption(place, moments, branches, hours.consumption_mwh[number])
    for (begin, end), mwh in zip(LINES, hours.flow_mwh, strict=True):
        yield exchange, _exchange(begin, end, moments, mwh)
        yield exchange, _exchange(end, begin, moments, -mwh)


def _production(place: int, moments: list[datetime], mwh: FloatArray) -> Columns:
    wind, solar, thermal = mwh.T.tolist()
    return {
        "municipality": [place] * len(moments),
        "hour": moments,
        "wind_mwh": wind,
        "solar_mwh": solar,
        "thermal_mwh": thermal,
    }


def _consumption(place: int, moments: list[datetime], branches: list[int], mwh: FloatArray) -> Columns:
    return {
        "municipality": [place] * mwh.size,
        "hour": [moment for moment in moments for _ in branches],
        "branche": branches * len(moments),
        "mwh": mwh.ravel().tolist(),
    }


def _exchange(begin: str, end: str, moments: list[datetime], mwh: FloatArray) -> Columns:
    return {
        "price_area": [begin] * len(moments),
        "hour": moments,
        "neighbour": [end] * len(moments),
        "mwh": np.round(mwh, EXCHANGE_DECIMALS).tolist(),
    }
