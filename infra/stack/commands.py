"""The commands: up, down, status and deploy."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from infra.environment import library_variables, use_own_temporary_folder
from infra.settings import Settings, masked_url
from infra.stack import children, parts
from infra.stack.children import Part
from infra.stack.client_file import remove_client_file, write_client_file
from infra.stack.deploy import end_dead_runs, set_up
from infra.stack.place import MLFLOW, PARTS, PREFECT, WORKER, Place, say
from infra.stack.web import PrefectApi, answers
from schemas.errors import ConfigError, ErsError, ServerError

POLL_S = 0.5
TITLES = {PREFECT: "Prefect", MLFLOW: "MLflow", WORKER: "worker"}
NEXT = "{program} deployment run train/dqn --watch -p timesteps=50000"


def up(settings: Settings, foreground: bool) -> int:
    """Start what does not run of the stack, deploy prefect.yaml where that is needed, and say where to look.

    Args:
        settings: of this process.
        foreground: whether to stay, with all output on standard output, until a signal, or until a part ends.

    Returns:
        the exit status.

    Raises:
        ErsError: a port is taken, the folder cannot be written, or a part does not start; what was started is ended.
    """
    place = Place(settings.ers_home)
    place.make()
    use_own_temporary_folder(settings)  # which all parts inherit
    with _terminable():
        stack = _Start(place, settings, foreground)
        with place.locked():
            if foreground and any(map(place.alive, PARTS)):
                raise ConfigError("the stack runs already: `make down` first")
            try:
                stack.run()
            except BaseException:
                stack.undo()
                raise
        return _watch(place, stack.started) if foreground else 0


class _Start:
    """One start of the stack.

    Attributes:
        started: the processes that were started, by part.
    """

    def __init__(self, place: Place, settings: Settings, foreground: bool) -> None:
        self.started: dict[str, subprocess.Popen[bytes]] = {}
        self._place, self._settings, self._foreground = place, settings, foreground

    def run(self) -> None:
        """Start what does not run, deploy, and print the addresses."""
        place, settings = self._place, self._settings
        api_url = self._others(settings.prefect_api_url, "/api", PREFECT)
        tracking_uri = self._others(settings.mlflow_tracking_uri, "", MLFLOW)
        own_prefect = api_url is None
        for name in (PREFECT, MLFLOW):
            if not place.alive(name):
                children.sweep(place, name)  # children of one that was killed, which hold its port
        servers = []
        if api_url is None:
            servers.append(parts.prefect_server(place, parts.choose_port(place, PREFECT, settings.ers_prefect_port)))
            api_url = f"{servers[-1].url}/api"
        if tracking_uri is None:
            servers.append(
                parts.mlflow_server(place, settings, parts.choose_port(place, MLFLOW, settings.ers_mlflow_port))
            )
            tracking_uri = servers[-1].url
        with place.upgrading():
            self._start_servers(servers)
        variables = parts.shared_variables(place) | {"PREFECT_API_URL": api_url}
        set_up(PrefectApi(api_url), variables, settings.ers_crashed_after_s)
        self._start_worker(parts.worker(place, settings, api_url, tracking_uri), own_prefect)
        _tell(place, api_url, tracking_uri)

    def undo(self) -> None:
        """End what was started."""
        for name in reversed(self.started):
            children.stop(self._place, name)

    def _others(self, url: str | None, path: str, part: str) -> str | None:
        """Return the address of a server that is set and not the stack's own; ServerError when it does not answer."""
        last = self._place.last(part)
        if url is None or not url.startswith(("http://", "https://")) or (last and url.rstrip("/") == last.url + path):
            return None
        variable = "PREFECT_API_URL" if part == PREFECT else "MLFLOW_TRACKING_URI"
        if not answers(f"{url.rstrip('/')}/health"):
            raise ServerError(
                f"{variable} {masked_url(url)} does not answer: start that server, or unset {variable} to have one here"
            )
        say(f"{TITLES[part]} at {masked_url(url)} is used, as {variable} says: none is started")
        return url

    def _start_servers(self, servers: list[Part]) -> None:
        for part in servers:
            if self._place.alive(part.name):
                say(f"{part.title} runs already")
                continue
            if part.name == MLFLOW:
                parts.make_store(self._place, self._settings)
            self._start(part)
        for part in servers:
            children.wait(self._place, part)

    def _start_worker(self, part: Part, own_prefect: bool) -> None:
        alive = self._place.alive(WORKER)
        if alive and alive.url == part.url:
            changed = alive.settings != part.settings
            say("the worker runs already" + (", with the settings of its start: `make down` first" if changed else ""))
            return
        children.stop(self._place, WORKER)  # it works for a server that is elsewhere now, or only its runs are left
        if own_prefect:
            end_dead_runs(PrefectApi(part.url))
        self._start(part)
        children.wait(self._place, part)

    def _start(self, part: Part) -> None:
        say(f"starting {part.title} ...")
        self.started[part.name] = children.start(self._place, part, self._foreground)


def _tell(place: Place, api_url: str, tracking_uri: str) -> None:
    """Print where to look and what to do next."""
    lines = [
        f"Prefect   {api_url.removesuffix('/api')}",
        f"MLflow    {masked_url(tracking_uri)}",
        f"worker    work pool {parts.POOL}, up to {parts.RUNS_AT_ONCE} runs at once, one of them a training",
        f"logs      {place.folder}",
    ]
    if not write_client_file(api_url):
        lines.append(f"first     export PREFECT_API_URL={api_url}   # prefect.toml here is your own")
    program = Path(sys.executable).with_name("prefect")
    shown = program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program
    lines.append(f"next      {NEXT.format(program=shown)}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def down(settings: Settings) -> int:
    """End the stack: the worker with its runs, then the servers; nothing else. Return the exit status."""
    place = Place(settings.ers_home)
    ended = []
    if place.folder.exists():
        with place.locked():
            ended = [TITLES[name] for name in reversed(PARTS) if _end(place, name)]
            remove_client_file()
    sys.stdout.write(f"ended: {', '.join(ended)}\n" if ended else "nothing runs\n")
    return 0


def _end(place: Place, name: str) -> bool:
    had = children.stop(place, name)
    server = place.alive(PREFECT)
    if had and name == WORKER and server:
        with contextlib.suppress(ErsError):  # the next start does it
            end_dead_runs(PrefectApi(f"{server.url}/api"))
    return had


def status(settings: Settings) -> int:
    """Say what runs; return 0 when the worker does, without which nothing happens, else 1."""
    place = Place(settings.ers_home)
    for name in PARTS:
        record = place.alive(name)
        what = f"{record.url}  process {record.pid}  log {place.log(name)}" if record else "not running"
        sys.stdout.write(f"{TITLES[name]:<10}{what}\n")
    return 0 if place.alive(WORKER) else 1


def deploy(settings: Settings) -> int:
    """Give an external server the work pool, the deployments and what ends runs that died; return the exit status.

    Raises:
        ConfigError: no server is set.
        ServerError: it does not answer, or refuses.
    """
    api_url = settings.prefect_api_url
    if api_url is None:
        raise ConfigError("PREFECT_API_URL is not set: it says where to deploy; `make up` has a server of its own")
    variables = library_variables(settings.ers_home) | {"PREFECT_API_URL": api_url}
    set_up(PrefectApi(api_url), variables, settings.ers_crashed_after_s)
    sys.stdout.write(f"prefect.yaml is deployed at {api_url}\n")
    return 0


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Take SIGTERM as an interrupt, so that what was started is ended."""
    usual = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


def _watch(place: Place, started: dict[str, "subprocess.Popen[bytes]"]) -> int:
    """Stay until a signal, or until a process ends; end the rest. Return 0 after a signal or `down`, else 1."""
    try:
        while all(process.poll() is None for process in started.values()):
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        exit_status = 0
    else:
        dead = next(name for name, process in started.items() if process.poll() is not None)
        exit_status = int(place.last(dead) is not None)
        if exit_status:
            say(f"{TITLES[dead]} ended with status {started[dead].returncode}: ending the others")
    with place.locked():
        for name in reversed(PARTS):
            _end(place, name)
        remove_client_file()
    return exit_status
