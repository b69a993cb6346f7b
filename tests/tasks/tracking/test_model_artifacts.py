"""The model as MLflow serves it, over HTTP: by name in any order, unknown where it may be, refused where it may not."""

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from infra.settings import Settings
from learning.bundle.export import export_bundle
from learning.bundle.load import load_bundle
from schemas.bundle import Feature
from tasks.tracking.model_artifacts import MODEL_ARTIFACT, log_model
from tasks.tracking.tracker import open_tracker
from tests.learning.bundle.bundles import description
from tests.support.servers import free_port, serving

NAME = "cache-policy-eviction"
Answer = tuple[int, dict[str, Any]]


class LinearPolicy(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([1.0, 10.0, 100.0]))

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        return (raw * self.weight).sum(dim=1)


WORDS = {"unit": "requests", "definition": "d", "transform": "none"}
FEATURES = (
    Feature(name="age", missing="", **WORDS),
    Feature(name="gap", missing="-1", **WORDS),
    Feature(name="load", missing="", missing_value=24.5, **WORDS),
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    states = np.random.default_rng(0).normal(size=(30, 8, 3)).astype(np.float32)
    scores = LinearPolicy()(torch.from_numpy(states.reshape(-1, 3))).reshape(30, 8).numpy()
    folder = tmp_path_factory.mktemp("bundles") / "b1"
    return export_bundle(LinearPolicy(), states, scores, description(features=FEATURES), folder)


@pytest.fixture(scope="module")
def registered(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A store whose version 1 is the bundle; the bundle's folder itself is gone."""
    home = tmp_path_factory.mktemp("home")
    copy = Path(shutil.copytree(bundle, home / "bundle"))
    settings = Settings(_env_file=None, ers_home=home, mlflow_tracking_uri=f"sqlite:///{home}/mlflow.db")
    tracker = open_tracker(settings)
    run_id = tracker.start_run("a run", {}, {})
    log_model(tracker, run_id, load_bundle(copy))
    shutil.rmtree(copy)
    tracker.client.create_registered_model(NAME)
    source = f"{tracker.client.get_run(run_id).info.artifact_uri}/{MODEL_ARTIFACT}"
    tracker.client.create_model_version(NAME, source, run_id)
    tracker.client.set_registered_model_alias(NAME, "champion", "1")
    return settings


def test_the_served_model_goes_by_names(registered: Settings, bundle: Path) -> None:
    port, store = free_port(), {"MLFLOW_TRACKING_URI": registered.mlflow_tracking_uri}
    words = ("mlflow", "models", "serve", "--env-manager", "local", "-m", f"models:/{NAME}@champion", "-p", port)
    with serving(registered.ers_home, f"http://127.0.0.1:{port}/health", *words, **store):
        ask = _asker(f"http://127.0.0.1:{port}/invocations")
        _check_named_columns(ask, bundle)
        _check_unknown_values(ask)
        _check_what_is_refused(ask)


def _asker(url: str) -> Callable[[dict[str, Any]], Answer]:
    def ask(body: dict[str, Any]) -> Answer:
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    return ask


def _check_named_columns(ask: Callable[[dict[str, Any]], Answer], bundle: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    expected = load_bundle(bundle).scores(rows).tolist()
    table = {"columns": ["load", "age", "gap"], "data": rows[:, [2, 0, 1]].tolist()}
    assert ask({"dataframe_split": table}) == (200, {"predictions": expected})
    records = [{"gap": row[1], "load": row[2], "age": row[0], "colour": "red"} for row in rows.tolist()]
    assert ask({"dataframe_records": records}) == (200, {"predictions": expected})  # MLflow drops other columns
    assert ask({"dataframe_records": [{"load": 3, "gap": 2, "age": 1}]}) == (200, {"predictions": [321.0]})


def _check_unknown_values(ask: Callable[[dict[str, Any]], Answer]) -> None:
    unknown = [{"age": 1, "gap": None, "load": 2}, {"age": 1, "gap": 1, "load": None}]
    assert ask({"dataframe_records": unknown}) == (200, {"predictions": [191.0, 2461.0]})
    status, answer = ask({"dataframe_records": [{"age": None, "gap": 1, "load": 2}]})
    assert status == 400
    assert "no value in age; only gap, load may be null" in answer["message"]


def _check_what_is_refused(ask: Callable[[dict[str, Any]], Answer]) -> None:
    status, answer = ask({"dataframe_records": [{"age": 1, "load": 2}]})
    assert status == 400
    assert "missing inputs ['gap']" in answer["message"]
    assert ask({"dataframe_records": [{"age": "old", "gap": 1, "load": 2}]})[0] == 400


def test_the_artifacts_hold_no_pickle_pin_their_libraries_and_show_an_example(registered: Settings) -> None:
    client = open_tracker(registered).client
    folder = Path(client.get_model_version(NAME, "1").source.removeprefix("file://"))
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]
    assert {"MLmodel", "policy.pt", "pyfunc_policy.py"} <= names
    libraries = (folder / "requirements.txt").read_text().split()
    assert [line.partition("==")[0] for line in libraries] == ["mlflow", "numpy", "pandas", "torch"]
    assert all(line.partition("==")[2] for line in libraries)
    example = json.loads((folder / "serving_input_example.json").read_text())["dataframe_split"]
    assert example["columns"] == ["age", "gap", "load"]
    assert len(load_bundle(folder.parent / "bundle").metadata.features) == 3
