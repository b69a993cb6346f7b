"""Private database servers: MariaDB and PostgreSQL as installed, each on a free port and in its own folder.

For tests and benchmarks. A server is ended by the process id that started it, and its folder goes with it.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import sqlalchemy as sa

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
USER, PASSWORD = "ers", "s3cret:/@%"
UNPRIVILEGED = ("postgres", "nobody")  # who may run PostgreSQL, which refuses to be run by root


class ServerMissingError(Exception):
    """The binaries of a database are not installed."""


@dataclass
class DatabaseServer:
    """A running server.

    Attributes:
        url: of its empty database "ers", with user and password.
        command: what starts it.
        owner: user that runs it; None = the present one.
        stop_signal: ends it without waiting for its clients.
    """

    url: sa.URL
    command: list[str]
    log: Path
    owner: str | None = None
    stop_signal: int = signal.SIGTERM
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=self.owner
            )
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not _answers(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise ChildProcessError(f"{self.command[0]} did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, as a power cut would end the process."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it; a second time does nothing."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def database(self, name: str) -> sa.URL:
        """Make the empty database `name`, anew when it is there; return its URL."""
        quoted = sa.create_engine(self.url).dialect.identifier_preparer.quote_identifier(name)
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {quoted}")
            connection.exec_driver_sql(f"CREATE DATABASE {quoted}")
        return self.url.set(database=name)


@contextmanager
def mariadb() -> Iterator[DatabaseServer]:
    """Yield a running MariaDB; ServerMissingError when it is not installed."""
    install, serve = _binary("mariadb-install-db"), _binary("mariadbd")
    with _folder(None) as folder:
        user = psutil.Process().username()
        data = folder / "data"
        _run(
            install,
            "--no-defaults",
            f"--datadir={data}",
            f"--user={user}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        first = folder / "first.sql"
        first.write_text(
            f"CREATE DATABASE ers;\nCREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO {USER}@'127.0.0.1';"
        )
        options = [
            f"--datadir={data}",
            f"--user={user}",
            "--bind-address=127.0.0.1",
            "--skip-log-bin",
            "--skip-name-resolve",
            f"--socket={folder}/s.sock",
            f"--pid-file={folder}/m.pid",
        ]
        port = _free_port()
        command = [serve, "--no-defaults", *options, f"--port={port}"]
        server = DatabaseServer(_url("mysql+pymysql", port), [*command, f"--init-file={first}"], folder / "log")
        with _running(server):
            server.command = command  # a later start finds the user
            yield server


@contextmanager
def postgresql() -> Iterator[DatabaseServer]:
    """Yield a running PostgreSQL; ServerMissingError when it is not installed."""
    init, serve = _binary("initdb"), _binary("postgres")
    owner = None if os.geteuid() else _unprivileged()
    with _folder(owner) as folder:
        (folder / "password").write_text(PASSWORD)
        if owner:
            shutil.chown(folder / "password", owner)
        data = folder / "data"
        options = [
            "--auth=scram-sha-256",
            f"--username={USER}",
            f"--pwfile={folder}/password",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        _run(init, "-D", str(data), *options, owner=owner)
        port = _free_port()
        command = [serve, "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
        server = DatabaseServer(
            _url("postgresql+psycopg", port, "postgres"), command, folder / "log", owner, signal.SIGINT
        )
        with _running(server):
            server.url = server.database("ers")
            yield server


@contextmanager
def _running(server: DatabaseServer) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        server.stop()


@contextmanager
def _folder(owner: str | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ers-server-", ignore_cleanup_errors=True) as name:
        if owner:
            shutil.chown(name, owner)
        yield Path(name)


def _url(driver: str, port: int, database: str = "ers") -> sa.URL:
    return sa.URL.create(driver, USER, PASSWORD, "127.0.0.1", port, database)


def _binary(name: str) -> str:
    """The path of an executable; Debian keeps those of PostgreSQL, and of servers, off the usual path."""
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/sbin")]
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)]))
    if found is None:
        raise ServerMissingError(f"{name} is not installed")
    return found


def _unprivileged() -> str:
    return next(name for name in UNPRIVILEGED if subprocess.run(["id", name], capture_output=True).returncode == 0)


def _run(*command: str, owner: str | None = None) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, user=owner, text=True)
    if done.returncode:
        raise ChildProcessError(f"{command[0]} failed: {done.stdout[-2000:]}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _answers(url: sa.URL) -> bool:
    try:
        with sa.create_engine(url, poolclass=sa.NullPool).connect():
            return True
    except sa.exc.OperationalError:  # refused, or it is still starting up
        return False
