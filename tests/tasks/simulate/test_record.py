"""Simulated traffic is recorded once, repeats exactly, and reads like requests to an energy data API."""

import gzip

import pytest

from cachesim.traffic.profiles import PROFILES
from schemas.errors import ConfigError
from schemas.options.simulate import SimulateConfig
from tasks.extract.read import RowQuery, read_rows
from tasks.extract.to_trace import to_trace
from tasks.simulate.energy_keys import KEY_COLUMNS, PRICE_AREAS, readable_key
from tasks.simulate.record import record_simulated, write_simulated
from tasks.simulate.traffic import simulated_traffic
from tasks.validate.validate import validate_rows

API = """
openapi: 3.1.0
paths:
  /users/{id}: {get: {parameters: [{name: id, in: path, required: true, schema: {type: integer}}]}}
  /status: {get: {}}
"""
READABLE = r"GET /[a-z_]+\?(price_area=[A-Z]{2}\d?&|municipality=\d{3}&(branche=\d+&)?)date=\d{4}-\d\d-\d\d(&hour=\d+)?"


def test_the_same_recipe_twice_adds_nothing_and_another_does(engine, written_rows):
    first = record_simulated(engine, SimulateConfig(requests=500, seed=1))
    again = record_simulated(engine, SimulateConfig(requests=500, seed=1))
    assert (first.rows, first.added_rows) == (500, 500)
    assert (again.source_id, again.name, again.rows, again.added_rows) == (first.source_id, first.name, 500, 0)
    assert record_simulated(engine, SimulateConfig(requests=500, seed=2)).added_rows == 500
    assert written_rows() == (1_000, 2)


def test_two_databases_get_the_same_traffic(engine, settings, tmp_path):
    from infra.database.connection import open_database
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


def test_the_default_traffic_is_known_by_the_name_and_digest_that_older_versions_gave_it(engine):
    traffic = simulated_traffic(SimulateConfig())
    assert traffic.name == "energy traffic, 100000 requests, seed 0"
    assert traffic.sha256 == "238136484bcbc45f1ee45dc0b8d7d01fb5564ee35358737bb45d41319de6efa9"


@pytest.mark.parametrize("options", [{}, {"profile": "write-heavy", "clients": 5, "rate": 10}])
def test_a_file_holds_what_the_table_would(engine, record, tmp_path, options):
    path = tmp_path / "traffic.csv.gz"
    written = write_simulated(SimulateConfig(requests=2_000, to=str(path), **options))
    assert (written.requests, written.file_bytes) == (2_000, path.stat().st_size)
    sources = [record(path), record_simulated(engine, SimulateConfig(requests=2_000, **options))]
    traces = [to_trace(read_rows(engine, RowQuery(source_id=source.source_id))) for source in sources]
    assert traces[0].sha256 == traces[1].sha256
    assert gzip.decompress(path.read_bytes()).count(b"\n") == 2_001


def test_the_same_traffic_gives_the_same_bytes_and_replaces_the_file(tmp_path):
    path = tmp_path / "traffic.csv.gz"
    path.write_text("what was there")
    config = SimulateConfig(requests=500, profile="zipf", to=str(path))
    write_simulated(config)
    first = path.read_bytes()
    write_simulated(config)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_broken_off_leaves_what_was_there(tmp_path):
    path = tmp_path / "traffic.csv"
    path.write_text("what was there")

    def interrupt(_done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_simulated(SimulateConfig(requests=500, to=str(path)), interrupt)
    assert path.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    for place in (tmp_path / "missing" / "a.csv", tmp_path):
        with pytest.raises(ConfigError, match=r"to: .* cannot be written: .*; choose another place"):
            write_simulated(SimulateConfig(requests=5).model_copy(update={"to": str(place)}))


@pytest.mark.parametrize("profile", PROFILES)
def test_each_profile_is_recorded_once_and_its_options_tell_it_apart(engine, profile, written_rows):
    config = SimulateConfig(requests=300, profile=profile)
    assert record_simulated(engine, config).added_rows == 300
    assert record_simulated(engine, config).added_rows == 0
    assert record_simulated(engine, config.model_copy(update={"clients": 3})).added_rows == 300
    assert written_rows() == (600, 2)


def test_an_api_is_recorded_by_its_endpoints(engine, text_file):
    api = text_file("api.yaml", API)
    config = SimulateConfig(requests=2_000, openapi=str(api), objects=50)
    assert record_simulated(engine, config).name == "zipf traffic of api.yaml, 2000 requests, seed 0"
    rows = read_rows(engine, RowQuery())
    assert set(rows["cache_name"]) == {"/users/{id}", "/status"}
    assert rows["cache_key"].astype(str).str.fullmatch(r"GET /(status|users/\d+)").all()
    assert rows["cache_key"].nunique() <= 50
    assert to_trace(rows).version is not None
    api.write_text(API.replace("status", "health"))
    assert record_simulated(engine, config).added_rows == 2_000
