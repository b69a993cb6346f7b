"""A stack of a test: its commands in processes of their own, what its server knows, and what runs of it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.stack.children import MARK, environments
from infra.stack.place import PREFECT, Place, Record
from infra.stack.web import PrefectApi
from tests.flows.running import Done
from tests.support.servers import free_port

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
START_TIMEOUT_S = 240
RUN_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Stack:
    """A stack in a folder of its own, on ports of its own.

    Attributes:
        folder: the working directory, with `prefect.toml` while the stack is up.
        variables: of the environment of its commands.
    """

    folder: Path
    variables: dict[str, str]

    @property
    def home(self) -> Path:
        """The folder of all state."""
        return self.folder / "var"

    @property
    def place(self) -> Place:
        """What the stack knows of its processes."""
        return Place(self.home)

    @property
    def api(self) -> PrefectApi:
        """Its Prefect server."""
        record = self.place.last(PREFECT)
        assert record is not None
        return PrefectApi(f"{record.url}/api")

    def command(self, *words: str, **variables: str) -> Done:
        """Run `python -m infra.stack`."""
        process = self.start(*words, **variables)
        out, err = process.communicate(timeout=START_TIMEOUT_S)
        return Done(process.returncode, out, err)

    def start(self, *words: str, **variables: str) -> "subprocess.Popen[str]":
        """Start `python -m infra.stack`."""
        return self._popen([sys.executable, "-m", "infra.stack", *words], PYTHONPATH=str(ROOT), **variables)

    def python(self, *words: str) -> Done:
        """Run a module of the project to its end."""
        process = self._popen([sys.executable, "-m", *words], PYTHONPATH=str(ROOT))
        out, err = process.communicate(timeout=RUN_TIMEOUT_S)
        return Done(process.returncode, out, err)

    def prefect(self, *words: str) -> Done:
        """Run Prefect's command line as a user would, who has set nothing."""
        process = self._popen([str(BIN / "prefect"), *words])
        out, err = process.communicate(timeout=RUN_TIMEOUT_S)
        return Done(process.returncode, out, err)

    def _popen(self, words: list[str], **variables: str) -> "subprocess.Popen[str]":
        inherited = {n: v for n, v in os.environ.items() if not n.startswith(("PREFECT", "DB_", "MLFLOW", "ERS_"))}
        return subprocess.Popen(
            words,
            cwd=self.folder,
            env={**inherited, **self.variables, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, deployment: str, **parameters: object) -> str:
        """Start a run of a deployment; return its id."""
        found = self.api.get(f"/deployments/name/{deployment}")
        run = self.api.post(f"/deployments/{found['id']}/create_flow_run", {"parameters": parameters})
        return str(run["id"])

    def state(self, run_id: str) -> dict[str, Any]:
        """The state of a run: type, name, message."""
        state: dict[str, Any] = self.api.get(f"/flow_runs/{run_id}")["state"]
        return state

    def ends(self, run_id: str, timeout_s: float = RUN_TIMEOUT_S) -> dict[str, Any]:
        """Wait for a run to reach a final state, and return that."""
        final = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        assert within(timeout_s, lambda: self.state(run_id)["type"] in final), self.state(run_id)
        return self.state(run_id)

    def learning(self, deployment: str = "train/dqn", **parameters: object) -> str:
        """Start what would learn for an hour; return the id of its run once it learns."""
        run_id = self.run(deployment, timesteps=100_000_000, patience=0, **parameters)
        learns = {"flow_runs": {"id": {"any_": [run_id]}}, "task_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
        names = lambda: [task["name"] for task in self.api.post("/task_runs/filter", learns)]  # noqa: E731
        assert within(RUN_TIMEOUT_S, lambda: any(name.startswith(("train", "trial")) for name in names())), names()
        return run_id

    def processes(self, variable: str = "") -> list[int]:
        """Processes that the stack has started, those with a variable NAME=VALUE."""
        name, _, value = variable.partition("=")
        return [
            process.pid
            for process, found in environments()
            if found.get(MARK, "").startswith(f"{self.place.folder}:") and found.get(name, "") == value
        ]

    def records(self) -> dict[str, Record]:
        """The parts that run."""
        found = {path.stem: self.place.alive(path.stem) for path in self.place.folder.glob("*.json")}
        return {part: record for part, record in found.items() if record}


def new_stack(folder: Path, **variables: str) -> Stack:
    """A stack that was never started, on free ports."""
    ports = {"ERS_PREFECT_PORT": str(free_port()), "ERS_MLFLOW_PORT": str(free_port())}
    return Stack(folder, {"ERS_HOME": str(folder / "var"), **ports, **variables})


def is_free(port: str) -> bool:
    """Whether nothing listens on a port of the loopback."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(port))) != 0


def within(timeout_s: float, holds: Callable[[], bool]) -> bool:
    """Whether `holds` becomes true in time."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.2)
    return True
