"""What is killed in the tests of faults, run in forks of one process that has imported everything.

As a program it reads commands from standard input, a JSON object a line, and answers each with a line.
"""

import contextlib
import importlib
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cachesim.warm import compile_decisions, compile_policies
from infra.database.connection import open_database
from infra.settings import Settings
from tasks.registry import champion as move
from tasks.registry import sql_side
from tasks.registry.bundles import fetch_bundle
from tasks.registry.choose import choose_version
from tasks.registry.reconcile import heal, reconcile
from tasks.registry.register import register
from tasks.registry.rollback import roll_back
from tasks.steps import LOGGER
from tasks.tracking.tracker import Tracker, open_tracker
from tests.faults.unpickling import WAYS_TO_UNPICKLE, watch
from tests.learning.bundle.bundles import export

NAME = "cache-policy-eviction"
OF_TRAINING = ("flows.train", "great_expectations.expectations", "matplotlib.figure", "torch._dynamo")  # 7 s of imports
DECIDED = "a champion is chosen, on what is known of the present one"


@dataclass
class Place:
    """Both stores, opened in the process that works on them."""

    engine: sa.Engine
    tracker: Tracker
    home: Path


def train_end(place: Place, seed: int = 0) -> int:
    """Do what the end of a training does: heal, export, register, finish."""
    heal(place.engine, place.tracker, place.home)
    run_id = place.tracker.start_run("trained", {}, {})
    bundle = export(place.home / "bundles" / f"eviction-dqn-{run_id}", seed=seed)
    model = register(place.engine, place.tracker, run_id, bundle, {"timesteps": 7})
    place.tracker.finish()
    return model.version


def promote(place: Place, which: str = "3") -> int:
    """Do what `promote` does once the gate has passed."""
    reconcile(place.engine, place.tracker, place.home)
    version = choose_version(place.engine, "eviction", which)
    champion = move.champion_of(sql_side.read_versions(place.engine, NAME))
    if champion != version:
        fetch_bundle(place.tracker, version, place.home)
        former = champion.version if champion else None
        LOGGER.info(DECIDED)
        chosen = move.Move(
            NAME, version.version, former, sql_side.PROMOTED, "it is better", evidence={"gate": "passed"}
        )
        move.move_champion(place.engine, place.tracker, chosen)
    return version.version


def rollback(place: Place) -> int:
    """Do what `rollback` does."""
    agree = lambda: reconcile(place.engine, place.tracker, place.home)  # noqa: E731
    return roll_back(place.engine, place.tracker, place.home, "eviction", "it is worse", agree).version


def reconcile_all(place: Place) -> list[str]:
    """Do what `reconcile` does; return what was healed."""
    return reconcile(place.engine, place.tracker, place.home).healed


def command(_place: Place, *words: str) -> int:
    """Run a command line; return its exit status."""
    from flows.cli.main import main

    with contextlib.redirect_stdout(sys.stderr):  # the answers to commands go to stdout
        return main([*words])


def watched(place: Place, *commands: list[str]) -> dict[str, Any]:
    """Run command lines; return their exit statuses and the classes that unpicklers looked up meanwhile."""
    looked_up = watch()
    statuses = [command(place, *words) for words in commands]
    return {"statuses": statuses, "looked_up": looked_up}


def unpickled(_place: Place, folder: str) -> dict[str, list[str]]:
    """Return the classes that are seen to be looked up when something is unpickled, in each of some ways."""
    looked_up, seen = watch(), {}
    for way, unpickle in WAYS_TO_UNPICKLE.items():
        looked_up.clear()
        unpickle(Path(folder))
        seen[way] = [*looked_up]
    return seen


OPERATIONS: dict[str, Callable[..., Any]] = {
    "train_end": train_end,
    "promote": promote,
    "rollback": rollback,
    "reconcile": reconcile_all,
    "command": command,
    "watched": watched,
    "unpickled": unpickled,
}


class Deadly(logging.Handler):
    """Notes the steps that are done; after so many, or after one, it sends this process a signal."""

    def __init__(self, after: int | str | None, ending: int) -> None:
        super().__init__()
        self.steps: list[str] = []
        self._after, self._ending = after, ending

    def emit(self, record: logging.LogRecord) -> None:
        self.steps.append(record.getMessage())
        if self._after in (len(self.steps), self.steps[-1]):
            os.kill(os.getpid(), self._ending)


def work(command: dict[str, Any]) -> dict[str, Any]:
    """Run an operation in this process; return what it gave, what it raised, and the steps it did."""
    deadly = Deadly(command["after"], command["signal"])
    LOGGER.setLevel(logging.INFO)
    LOGGER.addHandler(deadly)
    os.environ["TMPDIR"] = command["tmp"]
    os.environ.update({name.upper(): value for name, value in command["settings"].items()})
    settings = Settings(_env_file=None)
    result, error = None, ""
    try:
        engine = open_database(settings)
        place = Place(engine, open_tracker(settings), settings.ers_home)
        result = OPERATIONS[command["operation"]](place, *command["arguments"])
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
        traceback.print_exc()
    return {"result": result, "error": error, "steps": deadly.steps}


def rehearse(home: Path) -> None:
    """Do everything once, so that the forks find it imported and set up."""
    if "PREFECT_API_URL" in os.environ:
        for module in OF_TRAINING:
            importlib.import_module(module)
        compile_decisions()
        compile_policies()
    settings = Settings(_env_file=None, ers_home=home)
    place = Place(open_database(settings), open_tracker(settings), home)
    for seed in range(2):
        train_end(place, seed)
        promote(place, "latest")
    rollback(place)


def serve() -> None:
    """Fork a process for each command, and answer with its number at once; it leaves its outcome in a file."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead
    for line in sys.stdin:
        command = json.loads(line)
        pid = os.fork()
        if pid == 0:
            outcome = work(command)
            Path(command["outcome"]).write_text(json.dumps(outcome))
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    rehearse(Path(sys.argv[1]))
    serve()
