"""The processes of the stack: their commands, variables and addresses, and when each does what it is there for."""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from infra.environment import library_variables
from infra.settings import Settings
from infra.stack.children import Part
from infra.stack.place import MLFLOW, PREFECT, WORKER, Place, Record, say
from infra.stack.web import PrefectApi, answers
from schemas.errors import ConfigError, ServerError, StorageError

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
POOL = "ers"
RUNS_AT_ONCE = 3
HEARTBEAT_S = 30  # the shortest that Prefect allows
DEFAULT_PORTS = {PREFECT: 4200, MLFLOW: 5000}
SETTINGS = ("ERS_", "DB_", "MLFLOW_", "PREFECT_", "NUMBA_", "OMP_")
LAST_ERROR_CHARS = 300


def shared_variables(place: Place) -> dict[str, str]:
    """Return the variables that all processes of the stack have, beside those that they inherit."""
    return {**library_variables(place.home), "ERS_HOME": str(place.home), "NO_COLOR": "1"}


def prefect_server(place: Place, port: int) -> Part:
    """Return the Prefect server, with its UI, scheduler and automations, on `port`."""
    url = f"http://{HOST}:{port}"
    variables = {
        **shared_variables(place),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # several processes write to the one SQLite file
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "10",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    return _part(place, PREFECT, "the Prefect server", command, variables, url, f"{url}/api/health")


def mlflow_server(place: Place, settings: Settings, port: int) -> Part:
    """Return the MLflow server on `port`, for the store that flows without it open themselves.

    One process serves: on its own it would take seven more for jobs that nothing here has, and 2 GB.
    """
    url = f"http://{HOST}:{port}"
    variables = {
        **shared_variables(place),
        "MLFLOW_BACKEND_STORE_URI": _backend(place, settings),  # a variable: it may hold a password
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PYTHONWARNINGS": "ignore",
    }
    artifacts = (place.home / "mlartifacts").as_uri()
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--default-artifact-root", artifacts, "--no-serve-artifacts"]
    return _part(place, MLFLOW, "the MLflow server", command, variables, url, f"{url}/health")


def worker(place: Place, settings: Settings, api_url: str, tracking_uri: str) -> Part:
    """Return the worker, which starts a process for each run of a deployment."""
    exports = settings.ers_exports if "ers_exports" in settings.model_fields_set else place.home / "exports"
    variables = {
        **shared_variables(place),
        "PREFECT_API_URL": api_url,
        "MLFLOW_TRACKING_URI": tracking_uri,
        "ERS_EXPORTS": str(exports.resolve()),
        "PREFECT_LOGGING_TO_API_ENABLED": "true",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",  # what runs say is in the log without Prefect's help
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_WORKER_ENABLE_CANCELLATION": "true",  # also of runs that wait for their process
    }
    name = f"{POOL}-{socket.gethostname()}"
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
    command += ["--name", name, "--limit", str(RUNS_AT_ONCE), "--install-policy", "never"]
    began = datetime.now(UTC)
    api = PrefectApi(api_url)
    return Part(
        WORKER,
        "the worker",
        command,
        variables,
        ROOT,
        api_url,
        lambda: _is_polling(api, name, began),
        _digest(variables),
    )


def _part(
    place: Place, name: str, title: str, command: list[str], variables: Mapping[str, str], url: str, health_url: str
) -> Part:
    return Part(name, title, command, variables, place.folder, url, lambda: answers(health_url), _digest(variables))


def _is_polling(api: PrefectApi, name: str, since: datetime) -> bool:
    """Return whether the worker of that name has been heard of since it was started."""
    workers: list[dict[str, Any]] = api.post(f"/work_pools/{POOL}/workers/filter", {})
    return any(one["name"] == name and datetime.fromisoformat(one["last_heartbeat_time"]) >= since for one in workers)


def _digest(variables: Mapping[str, str]) -> str:
    """Return what changes with the settings that a part is started with."""
    chosen = {n: v for n, v in {**os.environ, **variables}.items() if n.startswith(SETTINGS)}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:16]


def _backend(place: Place, settings: Settings) -> str:
    uri = settings.mlflow_tracking_uri
    return default_store(place) if uri.startswith(("http://", "https://")) else uri


def default_store(place: Place) -> str:
    """Return the address of the MLflow store that flows use where no other is set."""
    return f"sqlite:///{place.home / 'mlflow.db'}"


def make_store(place: Place, settings: Settings) -> None:
    """Make MLflow's SQLite file, if need be, aside: one whose making was cut off could never be opened again.

    Raises:
        StorageError: it cannot be made there.
    """
    url = make_url(_backend(place, settings))
    if url.get_backend_name() != "sqlite" or not url.database or Path(url.database).exists():
        return
    say("making the MLflow store ...")
    try:
        _make_sqlite(place, Path(url.database))
    except OSError as error:
        raise StorageError(f"the MLflow store {url.database}: {error.strerror}; check MLFLOW_TRACKING_URI") from error


def _make_sqlite(place: Place, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlflow-") as work:
        aside = Path(work) / path.name
        variables = {**shared_variables(place), "MLFLOW_TRACKING_URI": f"sqlite:///{aside}"}
        run_command(["mlflow", "experiments", "search"], variables)
        with contextlib.suppress(FileExistsError):  # another process may have been first
            path.hardlink_to(aside)


def run_command(words: list[str], variables: Mapping[str, str]) -> None:
    """Run the module `words[0]` with the rest of the words in the project's folder; ServerError when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**os.environ, "PWD": str(ROOT), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = " ".join(done.stdout.split())[-LAST_ERROR_CHARS:]
        raise ServerError(f"{' '.join(words)} ended with status {done.returncode}: {reason}")


def choose_port(place: Place, part: str, configured: int | None) -> int:
    """Return the port for a part: that on which it runs, the configured one, else the last, the usual or any free one.

    Raises:
        ConfigError: the configured one is taken, or the part runs on another.
    """
    variable = f"ERS_{part.upper()}_PORT"
    last = place.last(part)
    if last and last.is_alive:
        port = _port(last)
        if configured not in (None, port):
            raise ConfigError(f"{variable} is {configured}, but the {part} server runs on {port}: `make down` first")
        return port
    if configured is not None:
        if not _is_free(configured):
            raise ConfigError(f"{variable}: port {configured} is taken by another program: end it, or choose another")
        return configured
    for port in (*([_port(last)] if last else []), DEFAULT_PORTS[part]):
        if _is_free(port):
            return port
    with socket.create_server((HOST, 0)) as listener:
        port = int(listener.getsockname()[1])
    say(f"port {DEFAULT_PORTS[part]} is taken: {part} gets {port}; {variable} sets another")
    return port


def _port(record: Record) -> int:
    return int(record.url.rpartition(":")[2])


def _is_free(port: int) -> bool:
    try:
        with socket.create_server((HOST, port)):
            return True
    except OSError:
        return False
