"""Flows and tasks as Prefect sees them, and progress as it is shown."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.engine import runtime
from infra.settings import Settings
from schemas.options.simulate import SimulateConfig
from schemas.options.train import IngestConfig, TrainConfig

ROOT = Path(__file__).resolve().parents[3]
PROBE = """
import json, sys
from pathlib import Path
from flows.engine import runtime
from infra.settings import Settings
runtime.configure(Settings(ers_home=Path(sys.argv[1])))
from prefect.utilities.callables import parameter_schema
import schemas.options.train as c
from schemas.options.simulate import SimulateConfig
from schemas.errors import SourceError, StorageError
from prefect.states import Failed

def example(config):
    "An example."
    return {}

schemas = {}
for config in (c.IngestConfig, SimulateConfig, c.TrainConfig):
    schemas[config.__name__] = parameter_schema(runtime.config_flow(config)(example)).model_dump_for_openapi()
task = runtime.io_task(example, retries=2)
retried = {e.__name__: task.retry_condition_fn(task, None, Failed(data=e("x")))
           for e in (StorageError, OSError, SourceError, ValueError)}
refused = runtime.config_flow(c.TrainConfig)(example).fn(timesteps=0)
print(json.dumps({"schemas": schemas, "retried": retried, "delays": task.retry_delay_seconds,
                  "refused": [refused.name, refused.message],
                  "cached": type(task.cache_policy).__name__, "persisted": task.persist_result}, default=str))
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What Prefect makes of our flows and tasks, found in a process of its own: importing Prefect is for good."""
    home = tmp_path_factory.mktemp("home")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(home)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("config", [IngestConfig, SimulateConfig, TrainConfig])
def test_prefect_knows_each_option_as_the_command_line_does(probe, config):
    schema = probe["schemas"][config.__name__]
    own = config.model_json_schema()
    assert schema.get("required", []) == own.get("required", [])
    assert list(schema["properties"]) == list(config.model_fields)
    for name, field in config.model_fields.items():
        known = schema["properties"][name]
        assert known["description"] == field.description
        for rule in ("type", "anyOf", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "default"):
            assert known.get(rule) == own["properties"][name].get(rule), (name, rule)


def test_a_deployment_is_told_of_a_wrong_parameter_in_the_same_line(probe):
    assert probe["refused"] == ["Failed", "timesteps: Input should be greater than or equal to 1, got 0"]


def test_only_storage_is_tried_again_and_later_each_time(probe):
    assert probe["retried"] == {"StorageError": True, "OSError": True, "SourceError": False, "ValueError": False}
    assert probe["delays"] == sorted(probe["delays"])
    assert len(probe["delays"]) == 2


def test_a_task_with_side_effects_is_never_cached(probe):
    assert (probe["cached"], probe["persisted"]) == ("_None", False)


def test_configure_leaves_alone_what_the_user_set(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", {"PREFECT_HOME": "/mine"})
    runtime.configure(Settings(ers_home=tmp_path, prefect_api_url="http://127.0.0.1:1/api"))
    assert os.environ["PREFECT_HOME"] == "/mine"
    assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:1/api"
    assert os.environ["DO_NOT_TRACK"] == "true"


def test_progress_off_a_terminal_is_a_line_each_ten_seconds_at_most(monkeypatch, capsys):
    now_s = iter(range(0, 2500, 4))  # a report each 4 s
    monkeypatch.setattr(runtime.time, "monotonic", lambda: float(next(now_s)))
    with runtime.progress("ingest", "rows") as report:
        for done in range(1, 101):
            report(done * 1000, 100_000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 100 * 4 // 12
    assert lines[0].startswith("ingest: ")
    assert "rows" in lines[0]
    assert all("\r" not in line for line in lines)


def test_progress_on_a_terminal_is_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with runtime.progress("ingest", "rows") as report:
        for done in (10, 20):
            report(done, 20)
        shown = sys.stderr.getvalue()
    assert "\r" in shown
    assert "ingest" in shown
