"""The energy tables are filled once, whole or not at all, and only where nothing else lies."""

from datetime import datetime

import pytest
import sqlalchemy as sa

from cachesim.traffic.energy import energy_traffic
from schemas.energy_tables import consumption, energy_seed, exchange, municipality, production, request_cache
from schemas.errors import ConfigError
from schemas.options.simulate import SeedConfig
from schemas.tables import utc_now
from tasks.simulate.energy_keys import energy_rows
from tasks.simulate.seed import SEEDED, seed_tables

ANSWER = {"key_sha256": "a", "cache_key": "GET /production", "body": "{}", "size_bytes": 2}


@pytest.fixture
def counts(engine):
    def call() -> dict[str, int]:
        tables = (*SEEDED, request_cache, energy_seed)
        with engine.connect() as connection:
            rows = {t.name: connection.execute(sa.select(sa.func.count()).select_from(t)).scalar_one() for t in tables}
        return {name: count for name, count in rows.items() if count}

    return call


def test_each_table_has_its_rows_and_the_cache_is_empty(engine, counts):
    seen: list[tuple[int, int | None]] = []
    seeded = seed_tables(engine, SeedConfig(days=1), lambda done, total: seen.append((done, total)))
    hours = {"production": 98 * 24, "consumption": 98 * 24 * 19, "exchange": 14 * 24}
    assert counts() == {"price_area": 6, "municipality": 98, "branche": 19, **hours, "energy_seed": 1}
    assert (seeded.rows, seeded.added_rows, seeded.replaced_rows) == (6 + 98 + 19 + sum(hours.values()),) * 2 + (0,)
    assert seen[-1] == (seeded.rows, seeded.rows)


def test_the_same_options_again_add_nothing_and_others_replace_it_all(engine, counts):
    first = seed_tables(engine, SeedConfig(days=2))
    again = seed_tables(engine, SeedConfig(days=2))
    assert (again.rows, again.added_rows) == (first.rows, 0)
    with engine.begin() as connection:
        connection.execute(sa.insert(request_cache).values(**ANSWER))
    other = seed_tables(engine, SeedConfig(days=1, seed=1))
    assert (other.added_rows, other.replaced_rows) == (other.rows, first.rows)
    assert counts()["consumption"] == 98 * 24 * 19
    assert "request_cache" not in counts()  # it held an answer of the old hours


def test_rows_of_others_are_refused_and_left_alone(engine, counts):
    with engine.begin() as connection:
        values = {"municipality": 1, "hour": utc_now(), "wind_mwh": 1.0, "solar_mwh": 0.0, "thermal_mwh": 0.0}
        connection.execute(sa.insert(production).values(**values))
    with pytest.raises(ConfigError, match="the table production holds rows that no seed put there"):
        seed_tables(engine, SeedConfig(days=1))
    assert counts() == {"production": 1}


def test_a_seed_that_is_broken_off_leaves_what_was_there(engine, counts):
    seed_tables(engine, SeedConfig(days=1))
    before = counts()

    def interrupt(done: int, _total: int | None) -> None:
        if done > 10_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seed_tables(engine, SeedConfig(days=2), interrupt)
    assert counts() == before


def test_the_exchange_of_an_area_is_what_its_municipalities_have_too_much_of(engine):
    seed_tables(engine, SeedConfig(days=1))

    def by_area(table: sa.Table, amount: sa.ColumnElement[float]) -> dict[tuple[str, datetime], float]:
        """MWh by area and hour, summed over municipalities."""
        place = municipality.c.price_area, table.c.hour
        joined = sa.select(*place, sa.func.sum(amount)).join_from(
            municipality, table, table.c.municipality == municipality.c.code
        )
        return {(area, hour): mwh for area, hour, mwh in connection.execute(joined.group_by(*place))}

    place = exchange.c.price_area, exchange.c.hour
    with engine.connect() as connection:
        produced = by_area(production, production.c.wind_mwh + production.c.solar_mwh + production.c.thermal_mwh)
        consumed = by_area(consumption, consumption.c.mwh)
        sent = connection.execute(sa.select(*place, sa.func.sum(exchange.c.mwh)).group_by(*place)).all()
    assert len(sent) == 6 * 24
    for area, hour, mwh in sent:
        assert mwh == pytest.approx(produced[area, hour] - consumed[area, hour], abs=1e-4)


def test_what_simulated_traffic_asks_for_is_there(engine):
    """Of the days that were seeded: each municipality, branch and area of the requests."""
    seed_tables(engine, SeedConfig(days=1))
    keys = energy_rows(energy_traffic(20_000, 0), slice(0, 20_000)).column("cache_key").to_pylist()
    asked = {name: set() for name in ("price_area", "municipality", "branche")}
    for key in keys:
        for part in key.split("?")[1].split("&"):
            name, value = part.split("=")
            asked.get(name, set()).add(value)
    with engine.connect() as connection:
        for table in SEEDED[:3]:
            known = {str(code) for code in connection.execute(sa.select(table.c.code)).scalars()}
            assert asked[table.name] <= known
            assert len(asked[table.name]) > 5
