"""`simulate` puts its traffic where it is told, and `seed` fills the tables behind the demo."""

from flows.simulate import summary
from tests.flows.running import rows, select
from tests.support.http_server import counting_server

API = """
openapi: 3.0.0
paths:
  /users/{id}: {get: {parameters: [{name: id, in: path, required: true, schema: {type: integer}}]}}
"""
SENT = {
    "name": "zipf traffic, 1200 requests, seed 0",
    "base_url": "http://127.0.0.1:8000",
    "clients": 8,
    "requests": 1_200,
    "statuses": {"200": 1_190, "404": 8},
    "errors": {"ReadTimeout": 2},
    "received_bytes": 120_000,
    "seconds": 12.25,
    "rate": 97.959,
    "wanted_rate": 100.0,
    "late_s": 1.25,
    "latency_p50_ms": 1.5,
    "latency_p95_ms": 12.25,
}


def test_a_file_of_simulated_traffic_can_be_ingested_and_touches_no_database(command_line, tmp_path):
    api, file = tmp_path / "api.yaml", tmp_path / "traffic.csv.gz"
    api.write_text(API)
    words = ("--openapi", api, "--profile", "diurnal", "--requests", 2_000, "--clients", 10)
    result = command_line(tmp_path, "simulate", *words, "--to", file, "--json").result
    assert (result["requests"], result["file"], result["file_bytes"]) == (2_000, str(file), file.stat().st_size)
    assert rows(tmp_path) == {}
    assert command_line(tmp_path, "ingest", "--source", file, "--json").result["added_rows"] == 2_000
    assert command_line(tmp_path, "simulate", *words, "--json").result["added_rows"] == 2_000
    held = "SELECT count(DISTINCT cache_key), max(cache_name), max(timestamp), sum(size_bytes) FROM cache_metrics"
    of_file, of_table = (select(tmp_path, f"{held} WHERE source_id = {source}") for source in (1, 2))
    assert of_file == of_table
    assert of_file[0][1] == "/users/{id}"


def test_traffic_is_sent_to_a_server(command_line, tmp_path):
    with counting_server() as server:
        done = command_line(tmp_path, "simulate", "--base-url", server.url, "--requests", 500, "--json")
    assert len(server.paths) == 500
    assert done.result["statuses"] == {"200": 500}
    assert "500 requests to http://127.0.0.1:" in done.err
    gone = command_line(tmp_path, "simulate", "--base-url", server.url, "--requests", 500)
    assert gone.status == 1
    assert gone.err.startswith(f"error: base_url: {server.url} does not answer")
    assert gone.err.count("\n") == 1


def test_what_was_sent_reads_as_a_few_lines():
    assert summary(SENT).splitlines() == [
        "zipf traffic, 1200 requests, seed 0: 1,200 requests to http://127.0.0.1:8000, 8 at once",
        "  answers   1,190 x 200, 8 x 404, 2 x ReadTimeout",
        "  rate      98.0 of 100.0 requests/s for 12.2 s, at worst 1.2 s late",
        "  latency   1.5 ms at p50, 12.2 ms at p95",
        "  received  120,000 bytes",
    ]
    fast = {**SENT, "wanted_rate": None, "late_s": 0.0}
    assert summary(fast).splitlines()[2] == "  rate      98.0 requests/s for 12.2 s"


def test_seed_fills_the_tables_once(command_line, tmp_path):
    words = ("--days", 1, "--seed", 3)
    first = command_line(tmp_path, "seed", *words, "--json")
    assert first.result["added_rows"] == first.result["rows"] > 40_000
    assert select(tmp_path, "SELECT count(*) FROM consumption") == [(98 * 24 * 19,)]
    again = command_line(tmp_path, "seed", *words)
    assert again.out.startswith("energy tables, 1 day, seed 3: nothing added: they were there")
