"""A run of the tests that a signal ends leaves nothing running."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import process_start
from tests.infra.stack.running import within
from tests.support.processes import MARK

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S, END_TIMEOUT_S = 120.0, 30.0
CONFTEST = "from tests.conftest import *\n"
TESTS = """
import subprocess, sys, time
from pathlib import Path
import pytest

@pytest.fixture
def server(databases, kind):
    return databases.server(kind)

@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_with_a_server(server, kind):
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", stubborn], start_new_session=True)
    Path(kind).write_text(f"{child.pid} {server._process.pid} {server.log.parent}")
    time.sleep(600)
"""


@pytest.fixture
def run_of_tests(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Two workers, each at a test that has a database server and a process that nobody ends; SIGINT is ignored."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_servers.py").write_text(TESTS)
    words = [sys.executable, "-m", "pytest", "-n", "2", "--rootdir", ".", "-p", "no:cacheprovider"]
    words += ["--basetemp", str(tmp_path / "base"), "test_servers.py"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", MARK))}
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *words],
        cwd=tmp_path,
        env={**variables, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_a_signal_ends_leaves_no_server_and_no_process(
    number: signal.Signals, run_of_tests: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    notes = [tmp_path / kind for kind in ("mariadb", "postgresql")]
    started = within(START_TIMEOUT_S, lambda: run_of_tests.poll() is not None or all(note.exists() for note in notes))
    assert started
    assert run_of_tests.poll() is None, run_of_tests.communicate()[0]
    words = [note.read_text().split() for note in notes]
    pids = [int(pid) for found in words for pid in found[:2]]
    assert all(map(process_start, pids))
    os.kill(run_of_tests.pid, number)
    output, _ = run_of_tests.communicate(timeout=END_TIMEOUT_S)
    assert run_of_tests.returncode == pytest.ExitCode.INTERRUPTED, output
    assert not any(map(process_start, pids))
    assert not any(Path(found[2]).exists() for found in words)
    assert "ended what a test left running" in output
