"""Simulated traffic is recorded once, repeats exactly, and reads like requests to an energy data API."""

import pytest

from schemas.simulation import SimulateConfig
from tasks.energy_keys import KEY_COLUMNS, PRICE_AREAS, readable_key
from tasks.extract import RowQuery, read_rows, to_trace
from tasks.simulate import record_simulated
from tasks.validate import validate_rows

READABLE = r"GET /[a-z_]+\?(price_area=[A-Z]{2}\d?&|municipality=\d{3}&(branche=\d+&)?)date=\d{4}-\d\d-\d\d(&hour=\d+)?"


def test_the_same_recipe_twice_adds_nothing_and_another_does(engine, written_rows):
    first = record_simulated(engine, SimulateConfig(requests=500, seed=1))
    again = record_simulated(engine, SimulateConfig(requests=500, seed=1))
    assert (first.rows, first.added_rows) == (500, 500)
    assert (again.source_id, again.name, again.rows, again.added_rows) == (first.source_id, first.name, 500, 0)
    assert record_simulated(engine, SimulateConfig(requests=500, seed=2)).added_rows == 500
    assert written_rows() == (1_000, 2)


def test_two_databases_get_the_same_traffic(engine, settings, tmp_path):
    from infra.database import open_database
    from infra.settings import Settings

    other = open_database(Settings(_env_file=None, db_url=f"sqlite:///{tmp_path / 'other.db'}"))
    traces = []
    for one in (engine, other):
        source = record_simulated(one, SimulateConfig(requests=2_000, seed=5))
        traces.append(to_trace(read_rows(one, RowQuery(source_id=source.source_id))))
    other.dispose()
    assert traces[0].sha256 == traces[1].sha256


def test_keys_read_like_requests(engine):
    record_simulated(engine, SimulateConfig(requests=3_000))
    rows = read_rows(engine, RowQuery())
    assert rows["cache_key"].astype(str).str.fullmatch(READABLE).all()
    assert all(key.startswith(f"GET {name}?") for name, key in zip(rows["cache_name"], rows["cache_key"], strict=True))


@pytest.mark.parametrize(
    ("codes", "key"),
    [
        ([0, 0, -1, -1, 20_513, -1], "GET /prices?price_area=DK1&date=2026-03-01"),
        ([1, 1, -1, -1, 20_513, 7], "GET /production?price_area=DK2&date=2026-03-01&hour=7"),
        ([6, -1, 0, 2, 20_513, -1], "GET /consumption_branch?municipality=101&branche=3&date=2026-03-01"),
    ],
)
def test_a_key_names_its_parameters(codes, key):
    assert len(codes) == len(KEY_COLUMNS)
    assert readable_key(codes) == key
    assert len(PRICE_AREAS) == 6


def test_simulated_traffic_can_be_trained_on(engine):
    record_simulated(engine, SimulateConfig(requests=20_000))
    rows = read_rows(engine, RowQuery())
    validate_rows(rows).require()
    trace = to_trace(rows)
    assert trace.version is not None
    assert len(trace.endpoint_names) == 7


def test_progress_ends_at_the_requests_asked_for(engine):
    seen = []
    record_simulated(engine, SimulateConfig(requests=150_000), lambda done, total: seen.append((done, total)))
    assert seen == [(131_072, 150_000), (150_000, 150_000)]
