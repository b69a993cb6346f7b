"""Flow `sweep`: every trial is accounted for, wherever it runs and whatever becomes of its worker."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run

from tasks.tracking.tracker import OWNER_TAG, PARENT_TAG
from tasks.tracking.trials import STATE_TAG, TRIAL_TAG
from tests.flows.conftest import TrainedRun
from tests.flows.running import ROOT, CommandLine, Done, environment, eventually, mlflow_runs, store, versions
from tests.support.servers import free_port

# Three of the four combinations can be trained with: A2C takes its batch from one of the two options.
SPACE = ("--algorithm", "a2c", "--space", "batch_size=none|128", "n_steps=none|2")
COMMON = ("--cache-fraction", 0.05, "--timesteps", 5_000, "--json")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, requests_parquet: Path, command_line: CommandLine) -> TrainedRun:
    """A sweep on threads, the best of which was trained."""
    home = tmp_path_factory.mktemp("swept")
    words = ("sweep", "--source", requests_parquet, *SPACE, *COMMON, "--seeds", 2)
    return TrainedRun(home, words, command_line(home, *words, ERS_TASK_RUNNER="threads"))


def below(home: Path, sweep: str) -> list[Run]:
    """The runs below that of a sweep."""
    client = store(home)
    experiment = client.get_run(sweep).info.experiment_id
    return list(client.search_runs([experiment], f"tags.`{PARENT_TAG}` = '{sweep}'"))


def tried(done: Done) -> list[dict[str, Any]]:
    """Its trials, without what differs from run to run."""
    return [{n: v for n, v in one.items() if n not in ("run_id", "seconds")} for one in done.result["trials"]]


def test_a_trial_that_fails_is_told_and_ends_no_sweep(swept: TrainedRun) -> None:
    trials = swept.done.result["trials"]
    assert [one["state"] for one in trials] == ["complete", "complete", "complete", "failed"]
    assert "give batch_size or n_steps, not both" in trials[3]["reason"]
    assert [one["options"] for one in trials] == [
        {"batch_size": batch, "n_steps": steps} for batch in (None, 128) for steps in (None, 2)
    ]


def test_mlflow_has_each_trial_below_the_sweep_with_options_curve_and_score(swept: TrainedRun) -> None:
    result, client = swept.done.result, store(swept.home)
    parent = client.get_run(result["run_id"])
    assert parent.info.status == "FINISHED"
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} >= {"trials.csv", "trials.png"}
    assert parent.data.metrics["score"] == result["best"][0]["score"]
    assert "4 trials of eviction by a2c: 3 complete, 1 failed." in parent.data.tags["mlflow.note.content"]
    trials = {
        run.data.tags[TRIAL_TAG]: run for run in below(swept.home, parent.info.run_id) if TRIAL_TAG in run.data.tags
    }
    assert set(trials) == {"0", "1", "2"}
    for told in result["trials"][:3]:
        run = trials[str(told["trial"])]
        assert (run.info.run_id, run.info.status) == (told["run_id"], "FINISHED")
        assert run.data.tags[STATE_TAG] == "complete"
        assert run.data.metrics["score"] == told["score"]
        curve = [point.value for point in client.get_metric_history(run.info.run_id, "validation")]
        assert max(curve[1:]) == told["score"]  # the weights that did best are kept; the first point is from before


def test_the_best_is_trained_judged_and_registered_as_a_part_of_the_sweep(swept: TrainedRun) -> None:
    result = swept.done.result
    (best,) = result["best"]
    scores = [one["score"] for one in result["trials"] if one["score"] is not None]
    assert best["score"] == max(scores)
    trained = best["trained"]
    assert versions(swept.home) == {1: trained["run_id"]}
    assert trained["run_id"] in {run.info.run_id for run in below(swept.home, result["run_id"])}
    params = store(swept.home).get_run(trained["run_id"]).data.params
    assert (params["seeds"], params["hold_back"]) == ("2", "False")
    assert "version 1" in store(swept.home).get_run(result["run_id"]).data.tags["models"]


def test_an_interrupted_sweep_goes_on_with_what_it_has_found(swept: TrainedRun, command_line: CommandLine) -> None:
    result, runs = swept.done.result, mlflow_runs(swept.home)
    store(swept.home).set_terminated(result["run_id"], "KILLED")
    words = (*swept.words, "--train-best", "false")
    again = command_line(swept.home, *words, ERS_TASK_RUNNER="threads")
    assert "3 of its trials need not be repeated" in again.err
    assert again.result["run_id"] == result["run_id"]
    assert again.result["trials"] == result["trials"]
    assert mlflow_runs(swept.home) == runs


def test_processes_give_the_same_trials_even_when_one_is_killed(
    swept: TrainedRun, tmp_path: Path, command_line: CommandLine
) -> None:
    words = (*swept.words, "--train-best", "false", "--parallel", 2)
    with killing_a_worker(tmp_path) as killed:
        done = command_line(tmp_path, *words, ERS_TASK_RUNNER="processes")
    assert tried(done) == tried(swept.done)
    runs = {run.info.run_id: run for run in below(tmp_path, done.result["run_id"])}
    assert runs[killed[0]].info.status == "KILLED"
    assert sorted(run.info.status for run in runs.values() if run.info.status != "KILLED") == ["FINISHED"] * 3


@dataclass
class Cluster:
    """A Dask scheduler and its workers, each a process."""

    address: str
    processes: list["subprocess.Popen[bytes]"]


@contextmanager
def dask(home: Path, workers: int, **variables: str) -> Iterator[Cluster]:
    """A Dask cluster whose workers have their state in `home`, and are not started again."""
    address = f"tcp://127.0.0.1:{free_port()}"
    alone = ("--host", "127.0.0.1", "--no-dashboard")
    words = [("dask_scheduler", "--port", address.rpartition(":")[2], *alone)]
    words += [("dask_worker", address, "--nthreads", "1", "--no-nanny", *alone)] * workers
    cluster = Cluster(address, [])
    with (home / "dask.log").open("wb") as log:
        for module, *options in words:
            command = [sys.executable, "-m", f"distributed.cli.{module}", *options]
            cluster.processes.append(
                subprocess.Popen(command, cwd=ROOT, env=environment(home, **variables), stdout=log, stderr=log)
            )
    try:
        assert eventually(
            lambda: (home / "dask.log").read_text().count("Starting established connection") >= 2 * workers
        )
        yield cluster
    finally:
        for process in cluster.processes:
            process.kill()
            process.wait()


@contextmanager
def killing_a_worker(home: Path) -> Iterator[list[str]]:
    """Kill the process of the first trial that is seen to train; yields the id of its run, once it is."""
    killed: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            running = [run_id for run_id, status in mlflow_runs(home).items() if status == "RUNNING"]
            for run_id in running:
                run = store(home).get_run(run_id)
                if TRIAL_TAG in run.data.tags and "validation" in run.data.metrics:
                    os.kill(int(run.data.tags[OWNER_TAG].split("~")[1]), signal.SIGKILL)
                    killed.append(run_id)
                    return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


@pytest.mark.slow
def test_a_sweep_on_dask_outlives_a_worker(swept: TrainedRun, tmp_path: Path, command_line: CommandLine) -> None:
    words = (*swept.words, "--train-best", "false")
    with dask(tmp_path, 2, **command_line.variables) as cluster, killing_a_worker(tmp_path) as killed:
        done = command_line(tmp_path, *words, ERS_TASK_RUNNER=cluster.address)
        assert [process.poll() is None for process in cluster.processes].count(False) == 1
    assert tried(done) == tried(swept.done)
    statuses = {run.info.run_id: run.info.status for run in below(tmp_path, done.result["run_id"])}
    assert statuses.pop(killed[0]) == "KILLED"
    assert sorted(statuses.values()) == ["FINISHED"] * 3


def test_a_sweep_in_which_nothing_succeeds_is_one_line(
    tmp_path: Path, requests_parquet: Path, command_line: CommandLine
) -> None:
    options = ("--cache-size", 100_000, "--timesteps", 5_000, "--space", "seed=0|1")
    done = command_line(tmp_path, "sweep", "--source", requests_parquet, *options, ERS_TASK_RUNNER="threads")
    assert done.status == 1
    error = done.err.splitlines()[-1]
    assert error.startswith(
        "error: none of 2 trials succeeded; the first: the cache evicts nothing on the training span"
    )
    assert sorted(mlflow_runs(tmp_path).values()) == ["FAILED"] * 3
