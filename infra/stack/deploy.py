"""What a Prefect server must have: the work pool and its queues, the deployments, and what ends runs that died."""

import hashlib
import sys
from typing import Any

from infra.stack.children import environments
from infra.stack.parts import POOL, ROOT, run_command
from infra.stack.place import say
from infra.stack.web import PrefectApi

TRAINING = "training"
DEPLOYED = "ers_deployed"
"""The variable on the server that says what was deployed: it lives and is lost with the deployments."""

POOL_DESCRIPTION = "Runs of ers-ml-trainer, a process each. The queue training runs one at a time."
AUTOMATION = "Crash runs that are not heard of"
UNFINISHED = ("RUNNING", "PENDING", "CANCELLING")
NOT_HEARD_OF = "The process of this run, or its worker, died: nothing was heard of it any more."
FOUND_DEAD = "The process of this run was gone when the stack was started or ended."


def set_up(api: PrefectApi, variables: dict[str, str], crashed_after_s: int) -> None:
    """Give the server all that it must have, unless it has: again after a change of prefect.yaml or of the options.

    Args:
        api: of the server.
        variables: of the environment of Prefect's command line.
        crashed_after_s: how long nothing may be heard of a run.

    Raises:
        ServerError: the server refuses, or a deployment is wrong.
    """
    wanted = _fingerprint(crashed_after_s)
    found = api.get(f"/variables/name/{DEPLOYED}")
    if found and found["value"] == wanted:
        return
    say("deploying prefect.yaml ...")
    _pool(api, variables)
    _automation(api, crashed_after_s)
    run_command(["prefect", "--no-prompt", "deploy", "--all"], variables)
    if found:
        api.patch(f"/variables/name/{DEPLOYED}", {"value": wanted})
    else:
        api.post("/variables/", {"name": DEPLOYED, "value": wanted})


def _fingerprint(crashed_after_s: int) -> str:
    """Return what changes with the deployments: prefect.yaml, the flows and their options, where they are."""
    digest = hashlib.sha256(f"{ROOT} {sys.executable} {crashed_after_s}".encode())
    sources = [path for folder in ("flows", "schemas", "infra/stack") for path in sorted((ROOT / folder).rglob("*.py"))]
    for path in [ROOT / "prefect.yaml", *sources]:
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _pool(api: PrefectApi, variables: dict[str, str]) -> None:
    """Make the work pool and the queue for training, if need be; what was changed in them since stays."""
    if api.get(f"/work_pools/{POOL}") is None:
        run_command(["prefect", "work-pool", "create", POOL, "--type", "process"], variables)
        api.patch(f"/work_pools/{POOL}", {"description": POOL_DESCRIPTION})
    if api.get(f"/work_pools/{POOL}/queues/{TRAINING}") is None:
        queue = {"name": TRAINING, "concurrency_limit": 1, "description": "One training at a time."}
        api.post(f"/work_pools/{POOL}/queues", queue)


def _automation(api: PrefectApi, crashed_after_s: int) -> None:
    wanted = _crashing(crashed_after_s)
    found = api.post("/automations/filter", {"automations": {"name": {"any_": [AUTOMATION]}}})
    if found:
        api.put(f"/automations/{found[0]['id']}", wanted)
    else:
        api.post("/automations/", wanted)


def _crashing(crashed_after_s: int) -> dict[str, Any]:
    """Return the automation that sets runs to Crashed once neither a heartbeat nor a state came for so long.

    Only runs of deployments: what is started by hand sends no heartbeats.
    """
    trigger = {
        "type": "event",
        "posture": "Proactive",
        "match": {"prefect.resource.id": ["prefect.flow-run.*"]},
        "match_related": {"prefect.resource.id": ["prefect.deployment.*"]},
        "for_each": ["prefect.resource.id"],
        "after": ["prefect.flow-run.heartbeat", "prefect.flow-run.Running", "prefect.flow-run.Pending"],
        "expect": ["prefect.flow-run.*"],
        "threshold": 1,
        "within": crashed_after_s,
    }
    return {
        "name": AUTOMATION,
        "description": "A run whose process died without a word is not Running for ever.",
        "enabled": True,
        "trigger": trigger,
        "actions": [{"type": "change-flow-run-state", "state": "CRASHED", "message": NOT_HEARD_OF}],
    }


def end_dead_runs(api: PrefectApi) -> None:
    """End the runs that the server believes to be at work though no process of this machine is at them.

    To be called while no worker runs: the server is the stack's own, so that nobody else works for it.
    """
    at_work = {variables.get("PREFECT__FLOW_RUN_ID") for _, variables in environments()}
    unfinished = {
        "flow_runs": {"state": {"type": {"any_": list(UNFINISHED)}}},
        "work_pools": {"name": {"any_": [POOL]}},
    }
    for run in api.post("/flow_runs/filter", unfinished):
        if run["id"] in at_work:
            continue
        ended = "CANCELLED" if run["state_type"] == "CANCELLING" else "CRASHED"
        state = {"type": ended, "message": FOUND_DEAD}
        api.post(f"/flow_runs/{run['id']}/set_state", {"state": state, "force": True})
        say(f"run {run['name']} was {run['state_type'].capitalize()} without a process: it is {ended.capitalize()} now")
