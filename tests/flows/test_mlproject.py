"""MLproject: the entry points are the flows, their parameters the options; `mlflow run` gets back the run it made."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

from flows.cli.main import COMMANDS
from flows.cli.options import read_options
from tests.flows.running import ROOT, environment

ENTRIES: dict[str, Any] = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


def _words(entry: str, **given: str) -> list[str]:
    """The words of the command, as MLflow's shell splits them."""
    parameters = ENTRIES[entry]["parameters"]
    values = {name: given.get(name, one.get("default", "")) for name, one in _typed(parameters).items()}
    return shlex.split(ENTRIES[entry]["command"].format(**{n: shlex.quote(str(v)) for n, v in values.items()}))


def _typed(parameters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {"type": one} if isinstance(one, str) else one for name, one in parameters.items()}


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_defaults_of_an_entry_point_are_those_of_the_flow(entry: str) -> None:
    assert _words(entry)[:4] == ["python", "-m", "flows", entry]
    given = {"into": "policies"} if entry == "export" else {}
    config, as_json = read_options(entry, COMMANDS[entry], _words(entry, **given)[4:])
    assert config == COMMANDS[entry](**given)
    assert not as_json


@pytest.mark.parametrize("entry", ENTRIES)
def test_each_parameter_is_typed_and_reaches_its_option(entry: str) -> None:
    words = _words(entry, **{name: f"a {name}" for name in ENTRIES[entry]["parameters"]})
    for name, one in _typed(ENTRIES[entry]["parameters"]).items():
        assert one["type"] in ("string", "float")
        assert f"--{name.replace('_', '-')}=a {name}" in words


@pytest.mark.slow
def test_mlflow_run_gets_back_the_run_that_it_made(tmp_path: Path, requests_parquet: Path) -> None:
    store = f"sqlite:///{tmp_path}/mlflow.db"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    options = {"source": requests_parquet, "algorithm": "ppo", "cache_fraction": "5e-2", "timesteps": 5_000}
    words = ["mlflow", "run", ROOT, "-e", "train", "--env-manager", "local", "-P", "n-steps=16"]
    words += [word for name, value in options.items() for word in ("-P", f"{name}={value}")]
    variables = environment(tmp_path, MLFLOW_TRACKING_URI=store, PATH=path)
    done = subprocess.run(words, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    client = mlflow.MlflowClient(store)
    (run,) = client.search_runs(["0"])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "eviction-ppo")
    assert (run.data.params["cache_fraction"], run.data.params["n_steps"]) == ("5e-2", "16")
    assert run.data.tags["mlflow.project.entryPoint"] == "train"
    (version,) = client.search_model_versions("name = 'cache-policy-eviction'")
    assert version.run_id == run.info.run_id
