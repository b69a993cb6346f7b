"""A Prefect server of a process's own, for flows that run where no server is.

Prefect would start one too, but only on the first flow call, while the process waits. This one starts while the
process imports what its flow needs, and ends with it however the process ends: it watches its standard input.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock

from schemas.errors import StorageError

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
LOCAL_SERVER_VARIABLES = {
    "PREFECT__SERVER_EPHEMERAL": "1",  # no scheduler and no other service that only deployments need
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_UI_ENABLED": "false",
    "PREFECT_API_DATABASE_MIGRATE_ON_START": "false",  # done before, one process at a time
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # flows here need none, and two servers would both insert them
}


class LocalServer:
    """A Prefect server on a free port of the loopback interface, its database and log in `home`.

    Attributes:
        api_url: its address, known before it answers.

    Raises:
        StorageError: it ended at once.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._log = home / "server.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.engine.local_server"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **LOCAL_SERVER_VARIABLES, "PREFECT_HOME": str(home), "PYTHONPATH": _import_path()},
                start_new_session=True,  # an interrupt from the keyboard is not for the server
            )
        assert self._process.stdout is not None
        with self._process.stdout as answer:
            port = answer.readline().decode().strip()
        if not port:
            raise StorageError(f"the local Prefect server did not start; its log: {self._log}")
        self.api_url = f"http://127.0.0.1:{port}/api"

    def wait(self) -> None:
        """Return when the server answers; the connection waits in the queue of its socket until then.

        Raises:
            StorageError: it ended or did not answer in `START_TIMEOUT_S`.
        """
        try:
            with urllib.request.urlopen(f"{self.api_url}/health", timeout=START_TIMEOUT_S):
                return
        except (OSError, urllib.error.URLError) as error:
            raise StorageError(f"the local Prefect server did not start ({error}); its log: {self._log}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _import_path() -> str:
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(path for path in (root, os.environ.get("PYTHONPATH")) if path)


def _serve() -> None:
    """Serve on a free port, which is told on standard output, until standard input ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)  # noqa: T201
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    import uvicorn
    from prefect.server.api.server import create_app

    _upgrade_database()
    server = uvicorn.Server(uvicorn.Config(create_app, factory=True, lifespan="on", log_level="error"))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server.run(sockets=[listener])


def _upgrade_database() -> None:
    """Bring the server's database up to date, one process at a time; an end of the parent does not interrupt it."""
    import asyncio

    from prefect.server.database import provide_database_interface

    with FileLock(Path(os.environ["PREFECT_HOME"]) / "upgrade.lock"):
        asyncio.run(provide_database_interface().create_db())


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    _serve()
