"""Runs flows as the command line does, and tells what they left behind."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import psutil

from learning.bundle.load import load_bundle
from support.atomic import TEMPORARY_PREFIX

ROOT = Path(__file__).resolve().parents[2]
MODEL = "cache-policy-eviction"
END_TIMEOUT_S = 60
# glibc else gives memory of a gradient step back to the kernel and gets it anew, which takes a third of the step.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**28), "MALLOC_MMAP_THRESHOLD_": str(2**28)}

# Reads commands from standard input, runs each as `python -m flows` would, and answers with its exit status. The
# standard streams are exchanged below Python, so that whatever a library writes is seen.
SERVE = """
import json, os, sys
from flows.cli.main import main

answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    command = json.loads(line)
    before = dict(os.environ)
    os.environ.update(command["variables"])
    for number, path in ((1, command["out"]), (2, command["err"])):
        opened = os.open(path, os.O_WRONLY)
        os.dup2(opened, number)
        os.close(opened)
    status = main(command["words"])
    for name in command["variables"]:
        os.environ.pop(name) if name not in before else os.environ.update({name: before[name]})
    print(status, file=answers, flush=True)
"""


@dataclass(frozen=True)
class Done:
    """A command that ended: its exit status, and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        """The JSON object on standard output, which holds nothing else."""
        assert self.status == 0, self.err
        assert self.out.count("\n") == 1
        found: dict[str, Any] = json.loads(self.out)
        return found


def environment(home: Path, **variables: str) -> dict[str, str]:
    """The variables of a process whose state is in `home`."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("PREFECT", "DB_", "MLFLOW", "ERS_"))}
    return {**inherited, **KEEP_MEMORY, "ERS_HOME": str(home), **variables}


def start(home: Path, *words: object, **variables: str) -> "subprocess.Popen[str]":
    """Start `python -m flows` with `words` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows", *map(str, words)],
        cwd=ROOT,
        env=environment(home, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(home: Path, *words: object, **variables: str) -> Done:
    """Run `python -m flows` with `words` in a process of its own."""
    process = start(home, *words, **variables)
    out, err = process.communicate(timeout=300)
    return Done(process.returncode, out, err)


class CommandLine:
    """`python -m flows` in a process that stays, so that its imports are paid once. Needs a Prefect server."""

    def __init__(self, home: Path, api_url: str) -> None:
        # Also for other processes that are to share the server.
        self.variables = {"PREFECT_API_URL": api_url, "PREFECT_HOME": str(home)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            cwd=ROOT,
            env=environment(home, **self.variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, home: Path, *words: object, **variables: str) -> Done:
        """Run one command with its state in `home`, and with `variables` in its environment."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
            command = {"words": [*map(str, words)], "variables": {"ERS_HOME": str(home), **variables}}
            print(json.dumps({**command, "out": out.name, "err": err.name}), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
            assert answer, f"the process ended: {err.read()}"
            return Done(int(answer), out.read(), err.read())

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)


def rows(home: Path) -> dict[str, int]:
    """How many rows each table of the database in `home` has; none where there is no database."""
    if not (home / "ers.db").exists():
        return {}
    tables = ("cache_metrics", "ingested_sources", "rl_models", "rl_model_events")
    counts = {name: select(home, f"SELECT count(*) FROM {name}")[0][0] for name in tables}
    return {name: count for name, count in counts.items() if count}


def select(home: Path, query: str) -> list[tuple[Any, ...]]:
    """The rows that `query` finds in the database of `home`."""
    connection = sqlite3.connect(f"file:{home / 'ers.db'}?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def store(home: Path) -> "mlflow.MlflowClient":
    """The MLflow store of `home`."""
    return mlflow.MlflowClient(f"sqlite:///{home}/mlflow.db")


def mlflow_runs(home: Path) -> dict[str, str]:
    """The status of each run in MLflow, by its id; none where there is no store."""
    if not (home / "mlflow.db").exists():
        return {}
    experiments = [experiment.experiment_id for experiment in store(home).search_experiments()]
    return {run.info.run_id: run.info.status for run in store(home).search_runs(experiments)}


def versions(home: Path) -> dict[int, str]:
    """The run of each registered version, which MLflow and `rl_models` agree about."""
    in_mlflow = {
        int(v.version): v.run_id
        for v in (store(home).search_model_versions(f"name = '{MODEL}'") if (home / "mlflow.db").exists() else [])
    }
    in_sql = dict(select(home, "SELECT version, mlflow_run_id FROM rl_models")) if (home / "ers.db").exists() else {}
    assert in_sql == in_mlflow
    return in_mlflow


def bundles(home: Path) -> list[Path]:
    """The bundles in `home`, each of which is whole; folders that a killed process worked in are left out."""
    folders = sorted(path for path in (home / "bundles").glob("*") if not path.name.startswith(TEMPORARY_PREFIX))
    for folder in folders:
        load_bundle(folder)
    return folders


def local_servers(home: Path) -> list[int]:
    """Process ids of the local Prefect servers that keep their state under `home`."""
    found = []
    for process in psutil.process_iter():
        try:
            if "flows.engine.local_server" in process.cmdline() and str(home) in process.environ().get(
                "PREFECT_HOME", ""
            ):
                found.append(process.pid)
        except psutil.Error:
            continue  # it ended meanwhile, or is another user's
    return found


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether `holds` becomes true within some seconds."""
    deadline_s = time.monotonic() + END_TIMEOUT_S
    while not holds() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return holds()
