"""The stack with real servers: runs complete, crash and are cancelled; all can be killed and started again."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from infra.stack.deploy import FOUND_DEAD, NOT_HEARD_OF
from tests.flows.running import bundles, mlflow_runs, versions
from tests.infra.stack.running import ROOT, Stack, is_free, new_stack, within

pytestmark = pytest.mark.slow
CANCEL_S = 10.0
REQUESTS = 6_000


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small file of requests."""
    key = np.random.default_rng(3).zipf(1.2, REQUESTS) % 500
    path = tmp_path_factory.mktemp("source") / "requests.parquet"
    pd.DataFrame({"timestamp": 1_700_000_000 + np.arange(REQUESTS), "key": key, "size_bytes": 100}).to_parquet(path)
    return str(path)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that is up. A test leaves it up."""
    stack = new_stack(tmp_path_factory.mktemp("stack"), ERS_CRASHED_AFTER_S="90")
    done = stack.command("up")
    assert done.status == 0, done.err
    yield stack
    stack.command("down")
    for pid in stack.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def schedule(stack: Stack) -> str:
    """A schedule of reconcile/hourly that is due every 30 s, until it is paused; its path in the API."""
    deployment = stack.api.get("/deployments/name/reconcile/hourly")
    assert any(one["schedule"]["cron"] for one in deployment["schedules"])
    schedules = f"/deployments/{deployment['id']}/schedules"
    (made,) = stack.api.post(schedules, [{"active": True, "schedule": {"interval": 30}}])
    return f"{schedules}/{made['id']}"


def test_the_server_has_each_deployment_with_a_description_and_typed_parameters(stack: Stack) -> None:
    """What the UI shows of prefect.yaml."""
    written = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    found = stack.api.post("/deployments/filter", {})
    assert len(found) == len(written)
    for deployment in found:
        assert deployment["description"]
        assert deployment["tags"]
        assert deployment["pull_steps"] == [
            {"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}
        ]
        parameters = deployment["parameter_openapi_schema"]["properties"]
        assert set(deployment["parameters"]) <= set(parameters)
        assert all(one["description"] and ("type" in one or "anyOf" in one) for one in parameters.values())
        trains = deployment["entrypoint"].endswith((":train", ":retrain", ":sweep"))
        assert (deployment["work_queue_name"] == "training") == trains
    assert stack.api.get("/work_pools/ers/queues/training")["concurrency_limit"] == 1


@pytest.mark.usefixtures("schedule")  # which becomes due meanwhile
def test_a_run_from_another_shell_completes_and_its_version_is_registered(stack: Stack, source: str) -> None:
    """The command of the README, in a shell in which nothing is set."""
    known = set(versions(stack.home))
    words = [f"source={source}", "timesteps=2000", "cache_fraction=0.05"]
    options = [word for pair in words for word in ("-p", pair)]
    done = stack.prefect("deployment", "run", "train/dqn", "--watch", *options)
    assert done.status == 0, done.out + done.err
    assert "Completed" in done.out
    (new,) = set(versions(stack.home)) - known  # which rl_models and MLflow agree about
    assert mlflow_runs(stack.home)[versions(stack.home)[new]] == "FINISHED"
    assert len(bundles(stack.home)) == len(known) + 1


def test_a_second_up_finds_all_running_and_changes_nothing(stack: Stack) -> None:
    """Neither a process nor a deployment is made anew; two at once are as good as one."""
    before = stack.records()
    first, second = stack.start("up"), stack.start("up")
    for process in (first, second):
        out, err = process.communicate(timeout=150)
        assert process.returncode == 0, err
        assert err.count("runs already") == len(before) == 3
        assert "deploying" not in err
        assert f"http://127.0.0.1:{stack.variables['ERS_PREFECT_PORT']}" in out
    assert stack.records() == before


def test_a_schedule_creates_runs_and_one_runs(stack: Stack, schedule: str) -> None:
    """Newer versions of SQLAlchemy let schedules never fire, and nothing says so."""
    mine = {"flow_runs": {"deployment_id": {"any_": [schedule.split("/")[2]]}}}
    scheduled = lambda: [run for run in stack.api.post("/flow_runs/filter", mine) if run["auto_scheduled"]]  # noqa: E731
    try:
        assert within(120, lambda: any(run["state_type"] == "COMPLETED" for run in scheduled())), scheduled()
        assert len(scheduled()) > 1
    finally:
        stack.api.patch(schedule, {"active": False})


@pytest.mark.parametrize("deployment", ["train/dqn", "sweep/default"])
def test_a_run_that_is_cancelled_stops_in_time_and_leaves_nothing_half_done(
    deployment: str, stack: Stack, source: str
) -> None:
    """As a click in the UI does it. The trials of a sweep are processes of their own, and end with it."""
    before, runs = bundles(stack.home), mlflow_runs(stack.home)
    run_id = stack.learning(deployment, source=source)
    at_work = set(stack.processes(f"PREFECT__FLOW_RUN_ID={run_id}"))
    assert len(at_work) > (deployment == "sweep/default")
    stack.api.post(f"/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING"}})
    assert within(CANCEL_S, lambda: at_work.isdisjoint(stack.processes()))
    assert {status for run, status in mlflow_runs(stack.home).items() if run not in runs} == {"KILLED"}
    assert stack.ends(run_id)["type"] == "CANCELLED"  # once Prefect has looked for hooks
    assert bundles(stack.home) == before
    assert [path.name for path in (stack.home / "bundles").glob(".*")] == []


def test_a_run_whose_worker_was_killed_ends_crashed_by_itself_and_up_starts_what_died(
    stack: Stack, source: str
) -> None:
    """Nobody is left to report it: the server notices that it hears nothing."""
    run_id = stack.learning(source=source)
    records = stack.records()
    _kill(records["worker"].pid, *stack.processes(f"PREFECT__FLOW_RUN_ID={run_id}"))
    state = stack.ends(run_id, 200)
    assert (state["type"], state["message"]) == ("CRASHED", NOT_HEARD_OF)
    _kill(records["mlflow"].pid)  # whose child goes on, and holds its port
    done = stack.command("up")
    assert done.status == 0, done.err
    assert done.err.count("runs already") == 1
    now = stack.records()
    assert {part for part in now if now[part] != records[part]} == {"mlflow", "worker"}
    assert stack.ends(stack.run("reconcile/hourly"))["type"] == "COMPLETED"
    assert "RUNNING" not in mlflow_runs(stack.home).values()  # reconcile ended what the killed run left


def test_up_heals_after_everything_was_killed(stack: Stack, source: str) -> None:
    """Runs, deployments and versions are still there; the run that was cut off is Crashed, and the next completes."""
    run_id = stack.learning(source=source)
    runs, known = stack.api.post("/flow_runs/count", {}), versions(stack.home)
    _kill(*stack.processes())
    done = stack.command("up")
    assert done.status == 0, done.err
    assert "deploying" not in done.err
    state = stack.state(run_id)
    assert (state["type"], state["message"]) == ("CRASHED", FOUND_DEAD)
    assert stack.api.post("/flow_runs/count", {}) >= runs
    next_run = stack.run("train/a2c", source=source, timesteps=2_000, cache_fraction=0.05)
    assert stack.ends(next_run)["type"] == "COMPLETED"
    assert len(versions(stack.home)) == len(known) + 1


def test_down_ends_exactly_the_stack_and_a_foreground_start_ends_with_its_parts(stack: Stack) -> None:
    """Nothing of it is left, nor is the file for Prefect's command line; others go on."""
    bystander = os.spawnvpe(os.P_NOWAIT, "sleep", ["sleep", "300"], {**os.environ, **stack.variables})
    done = stack.command("down")
    assert (done.status, done.out) == (0, "ended: worker, MLflow, Prefect\n")
    _assert_gone(stack)
    assert os.waitpid(bystander, os.WNOHANG) == (0, 0)
    _kill(bystander)
    assert stack.command("down").out == "nothing runs\n"

    foreground = stack.start("up", "--foreground")
    assert within(180, lambda: (stack.folder / "prefect.toml").exists())
    os.kill(stack.records()["mlflow"].pid, signal.SIGKILL)
    _, err = foreground.communicate(timeout=60)
    assert foreground.returncode == 1
    assert "MLflow ended with status -9: ending the others" in err
    _assert_gone(stack)


def _assert_gone(stack: Stack) -> None:
    assert stack.processes() == []
    assert all(is_free(stack.variables[name]) for name in ("ERS_PREFECT_PORT", "ERS_MLFLOW_PORT"))
    assert not (stack.folder / "prefect.toml").exists()


def _kill(*pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_flows_of_the_command_line_need_no_server_where_prefects_file_names_one(tmp_path: Path) -> None:
    """`python -m flows` runs without the stack as before, even if that was killed and its file is left."""
    stack = new_stack(tmp_path)
    (tmp_path / "prefect.toml").write_text('[api]\nurl = "http://127.0.0.1:9/api"\n')
    done = stack.python("flows", "reconcile", "--json")
    assert done.result["problems"] == []
