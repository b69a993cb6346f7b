"""Simulated traffic reaches a real server: each request once, at its pace, and what became of it is counted."""

import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import ServerError
from schemas.options.simulate import SimulateConfig
from tasks.simulate.http import send_simulated
from tasks.simulate.traffic import simulated_traffic
from tests.support.http_server import BODY, CountingServer, counting_server

ROOT = Path(__file__).resolve().parents[3]
API = """
openapi: 3.0.0
paths:
  /fine/{id}: {get: {parameters: [{name: id, in: path, required: true, schema: {type: integer, maximum: 3}}]}}
  /missing: {get: {}}
  /broken: {get: {}}
"""


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with counting_server() as server:
        yield server


@pytest.mark.parametrize("options", [{}, {"profile": "zipf", "clients": 1}, {"profile": "drift", "clients": 30}])
def test_each_request_is_sent_once(server, options):
    config = SimulateConfig(requests=300, base_url=f"{server.url}/api/", **options)
    seen: list[tuple[int, int | None]] = []
    sent = send_simulated(config, lambda done, total: seen.append((done, total)))
    made = Counter(key for rows in simulated_traffic(config).chunks() for key in rows.column("cache_key").to_pylist())
    assert Counter(f"GET {path.removeprefix('/api')}" for path in server.paths) == made
    assert (sent.requests, sent.statuses, sent.errors) == (300, {"200": 300}, {})
    assert sent.received_bytes == 300 * len(BODY)
    assert sent.clients == (config.clients or 8)
    assert sent.wanted_rate is None
    assert sent.rate == pytest.approx(300 / sent.seconds, rel=0.01)
    assert 0 < sent.latency_p50_ms <= sent.latency_p95_ms
    assert seen == [(100, 300), (200, 300), (300, 300)]


def test_with_one_client_the_order_is_that_of_the_traffic(server):
    config = SimulateConfig(requests=200, profile="scan", objects=50, clients=1, base_url=server.url)
    send_simulated(config)
    assert server.paths == [f"/objects/{number % 50}" for number in range(200)]


def test_a_pace_is_kept(server):
    sent = send_simulated(SimulateConfig(rate=100, duration_s=1.5, base_url=server.url, clients=4))
    assert sent.requests == len(server.paths) == 150
    assert 1.2 < sent.seconds < 3
    assert sent.wanted_rate == pytest.approx(100)


def test_what_gets_no_answer_or_a_bad_one_is_counted_and_the_others_go_on(server, text_file):
    api = str(text_file("api.yaml", API))
    sent = send_simulated(SimulateConfig(requests=200, openapi=api, profile="uniform", base_url=server.url))
    asked = Counter(path.split("/")[1] for path in server.paths)
    assert sent.requests == 200
    assert sent.statuses == {"200": asked["fine"], "404": asked["missing"]}
    assert sum(sent.errors.values()) == 200 - asked["fine"] - asked["missing"] > 10
    assert set(sent.errors) <= {"RemoteProtocolError", "ReadError"}


def test_a_server_that_is_not_there_is_one_line_without_the_password():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    config = SimulateConfig(requests=50, base_url=f"http://me:secret@127.0.0.1:{port}")
    with pytest.raises(ServerError, match=rf"base_url: http://me:\*\*\*@127.0.0.1:{port} does not answer") as caught:
        send_simulated(config)
    assert "\n" not in str(caught.value)


def test_an_interrupt_ends_it_at_once_and_quietly(server):
    options = f"rate=50, duration_s=60, base_url={server.url!r}"
    program = (
        "from schemas.options.simulate import SimulateConfig\nfrom tasks.simulate.http import send_simulated\ntry:\n"
    )
    program += f"  send_simulated(SimulateConfig({options}), lambda *_: print('on', flush=True))\n"
    program += "except KeyboardInterrupt:\n  print('interrupted')"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=-1, stderr=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=20)
    assert (out.splitlines()[-1], errors) == ("interrupted", "")
