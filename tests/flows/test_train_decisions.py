"""The flow `train` with the decisions on misses, and with a staleness budget, from end to end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
import pytest

from learning.bundle.load import load_bundle
from tests.flows.running import CommandLine, Done, mlflow_runs, rows, select, store

pytestmark = pytest.mark.slow

Train = Callable[..., Done]
COMMON = ("--timesteps", 4_096, "--cache-fraction", 0.05, "--algorithm", "a2c", "--json")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, command_line: CommandLine) -> Path:
    """A home with 12,000 recorded requests."""
    home = tmp_path_factory.mktemp("decisions")
    assert command_line(home, "simulate", "--requests", 12_000).status == 0
    return home


@pytest.fixture(scope="module")
def train(recorded: Path, command_line: CommandLine) -> Train:
    """Train there, with more words."""
    return lambda *words: command_line(recorded, "train", *COMMON, *words)


def check_golden(bundle: Path) -> Any:
    """Return what `golden.json` holds, after ONNX gave the same scores of its rows."""
    golden = json.loads((bundle / "golden.json").read_text())
    inputs = np.array(golden["inputs"], np.float32)
    session = onnxruntime.InferenceSession(bundle / "policy.onnx")
    scores = session.run(["scores"], {"features": inputs.reshape(-1, inputs.shape[2])})[0]
    np.testing.assert_allclose(scores.reshape(len(inputs), -1), golden["scores"], atol=golden["tolerance"])
    assert np.argmax(golden["scores"], axis=1).tolist() == golden["decisions"]
    return golden


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is :DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType:UserWarning")  # MLflow's own
def test_times_to_live_are_learned_judged_exported_and_registered_by_their_own_name(
    recorded: Path, train: Train
) -> None:
    words = ("--decision", "ttl", "--ttl-ladder-s", "60,3600", "--cache-weights", "load_time_ms=1")
    result = train(*words, "--staleness-weight", 2).result
    assert result["model"] == {"name": "cache-policy-ttl", "version": 1, "stage": "None"}
    assert result["decision"] == {"name": "ttl", "eviction": "lru", "staleness_weight": 2.0}
    assert result["reference"] == "lru"
    assert {"lru", "ttl 60 s", "ttl 3600 s", "ttl by endpoint"} <= set(result["test"]["baselines"])
    assert result["test"]["policy"]["value_ratio"] <= result["test"]["bounds"][result["bound"]]["value_ratio"]
    golden = check_golden(Path(result["bundle"]))
    assert np.array(golden["scores"]).shape[1] == 4
    metadata = load_bundle(Path(result["bundle"])).metadata
    assert metadata.actions is not None
    assert metadata.actions.lifetimes_s == (0.0, 60.0, 3_600.0, None)
    readme = (Path(result["bundle"]) / "README.md").read_text()
    assert "its seconds among 0, 60, 3600, for ever" in readme
    assert "@" not in readme
    model = mlflow.pyfunc.load_model(store(recorded).get_model_version("cache-policy-ttl", "1").source)
    table = pd.DataFrame(np.array(golden["inputs"])[:, 0], columns=[feature.name for feature in metadata.features])
    np.testing.assert_allclose(model.predict(table), golden["scores"], atol=golden["tolerance"])
    assert model.metadata.signature.outputs.inputs[0].shape == (-1, 4)
    row = select(recorded, "SELECT decision, network_architecture FROM rl_models ORDER BY id DESC LIMIT 1")[0]
    assert row[0] == "ttl"
    assert json.loads(row[1])["layers"][-1] == 4


def test_admission_is_learned_under_the_eviction_that_was_asked_for(train: Train) -> None:
    result = train("--decision", "admission", "--eviction", "s3-fifo").result
    assert result["model"]["name"] == "cache-policy-admission"
    assert result["decision"] == {"name": "admission", "eviction": "s3-fifo", "staleness_weight": 0.0}
    assert result["test"]["variants"] == {}
    assert np.array(check_golden(Path(result["bundle"]))["scores"]).shape[1] == 2
    assert "s3-fifo makes room" in (Path(result["bundle"]) / "README.md").read_text()


def test_a_staleness_budget_adds_the_hybrid_and_its_times_to_live(train: Train) -> None:
    result = train("--staleness-budget", 0.1).result
    assert set(result["test"]["variants"]) == {"online", "guarded", "hybrid"}
    endpoints = result["staleness"]["by_endpoint"]
    metadata = load_bundle(Path(result["bundle"])).metadata
    assert metadata.endpoint_lifetimes is not None
    assert metadata.endpoint_lifetimes.lifetimes_s == {name: one["lifetime_s"] for name, one in endpoints.items()}
    assert "`endpoint_lifetimes` of `metadata.json`" in (Path(result["bundle"]) / "README.md").read_text()
    assert result["test"]["variants"]["hybrid"]["stale_ratio"] < result["test"]["policy"]["stale_ratio"]


def test_times_to_live_without_versions_are_refused_and_nothing_is_registered(
    tmp_path: Path, command_line: CommandLine
) -> None:
    lines = [f"2026-01-01T00:{i // 60:02}:{i % 60:02},key{i % 97}" for i in range(2_000)]
    source = tmp_path / "requests.csv"
    source.write_text("\n".join(["timestamp,key", *lines]))
    home = tmp_path / "home"
    for words in (("--decision", "ttl"), ("--staleness-budget", 0.1)):
        done = command_line(home, "train", "--source", source, *words)
        assert done.status == 2
        assert done.err.splitlines()[-1].startswith("error: times to live need origin_version")
        assert "Traceback" not in done.err
    assert "rl_models" not in rows(home)
    assert mlflow_runs(home) == {}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--decision", "ttl", "--ttl-ladder-s", "60,30"), "ttl_ladder_s: the times to live must rise, got 60, 30"),
        (("--decision", "admission", "--eviction", "belady"), "belady knows the future"),
        (("--eviction", "lru"), "eviction: not an option of decision eviction"),
    ],
)
def test_options_that_do_not_fit_end_in_one_line(train: Train, words: tuple[str, ...], error: str) -> None:
    done = train(*words)
    assert done.status == 2
    assert error in done.err.splitlines()[-1]
    assert "Traceback" not in done.err
