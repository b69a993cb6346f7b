"""Processes that are killed at a step: forks of one that has imported everything, told what to do."""

import itertools
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from infra.settings import Settings
from tests.flows.running import ROOT, environment

TIMEOUT_S = 120


@dataclass(frozen=True)
class Outcome:
    """How an operation ended: what it returned, or raised, and the steps it did. `killed`: it left no word."""

    killed: bool
    result: Any = None
    error: str = ""
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fork:
    """A process at work on an operation."""

    pid: int
    outcome: Path

    def state(self) -> str:
        """Return its state as psutil names it, "" once it has ended."""
        try:
            return str(psutil.Process(self.pid).status())
        except psutil.NoSuchProcess:
            return ""

    def wait(self, until: str = "") -> None:
        """Wait until it has ended, or is in that state."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while (state := self.state()) and state != until:
            assert time.monotonic() < deadline_s, f"the process is still at work: {state}"
            time.sleep(0.003)

    def ended(self) -> Outcome:
        """Wait for its end."""
        self.wait()
        if not self.outcome.exists():
            return Outcome(killed=True)
        found = json.loads(self.outcome.read_text())
        return Outcome(False, found["result"], found["error"], tuple(found["steps"]))


class Forks:
    """Starts operations of `tests.faults.operations`, each in a process of its own.

    Args:
        folder: for what they leave behind.
        variables: of their environment; with an address of a Prefect server they run flows.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._errors = (folder / "errors.txt").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.operations", str(folder / "rehearsal")],
            cwd=ROOT,
            env=environment(folder, OMP_NUM_THREADS="1", MLFLOW_DISABLE_TELEMETRY="true", **variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def start(
        self,
        operation: str,
        settings: Settings,
        *arguments: Any,
        after: int | str | None = None,
        ending: signal.Signals = signal.SIGKILL,
    ) -> Fork:
        """Start an operation that gets a signal after so many steps, or after the first one of that name."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert settings.db_url is not None
        outcome = self._folder / f"{next(self._numbers)}.json"
        (settings.ers_home / "tmp").mkdir(mode=0o700, exist_ok=True)
        command = {
            "operation": operation,
            "arguments": arguments,
            "settings": {
                "ers_home": str(settings.ers_home),
                "ers_exports": str(settings.ers_exports),
                "db_url": settings.db_url.get_secret_value(),
                "mlflow_tracking_uri": settings.mlflow_tracking_uri,
            },
            "after": after,
            "signal": int(ending),
            "outcome": str(outcome),
            "tmp": str(settings.ers_home / "tmp"),
        }
        print(json.dumps(command), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, self.errors()
        return Fork(int(answer), outcome)

    def run(self, operation: str, settings: Settings, *arguments: Any, after: int | str | None = None) -> Outcome:
        """Run an operation to its end, or to its death after so many steps."""
        return self.start(operation, settings, *arguments, after=after).ended()

    def errors(self) -> str:
        """Return what all of them wrote to stderr."""
        self._errors.seek(0)
        return self._errors.read()

    def close(self) -> None:
        """End the process that forks."""
        self._process.communicate(timeout=TIMEOUT_S)
        self._errors.close()
