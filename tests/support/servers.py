"""Servers in processes of their own, which end with all that they started."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT_S = 120.0
END_TIMEOUT_S = 15.0
BIN = Path(sys.executable).parent


def free_port() -> int:
    """A port of the loopback that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def serving(folder: Path, health_url: str, *words: object, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the command `words` in `folder` until the context ends; enter it once `health_url` answers.

    It leads a process group, so that a test may kill all that it started. Programs of the virtual environment are
    found first, as after activating it.
    """
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("PREFECT", "DB_", "MLFLOW", "ERS_"))}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*map(str, words)],
            cwd=folder,
            env={**inherited, "PATH": path, **variables},
            stdout=out,
            stderr=out,
            start_new_session=True,  # a group of its own
        )
    try:
        _wait(process, health_url, log)
        yield process
    finally:
        _end(process)


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.1)


def _end(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            continue
