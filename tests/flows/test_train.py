"""The flow `train` from end to end: what it answers, what it records, and that it repeats exactly."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import onnxruntime
import pytest

from cachesim.replay import BASELINES, BOUNDS
from tests.flows.running import MODEL, bundles, local_servers, mlflow_runs, rows, select, store, versions

pytestmark = pytest.mark.slow

RATIOS = ("hit_ratio", "byte_hit_ratio", "saved_load_time_ratio")
STEPS = ["record", "extract", "validate", "prepare", "open", "train", "evaluate", "export", "report", "register"]

# In a process that imports nothing of ours.
BARE_TORCH = """
import json, sys, torch
policy = torch.jit.load(sys.argv[1], map_location="cpu").eval()
golden = json.load(open(sys.argv[2]))
inputs = torch.tensor([[[float("nan") if x is None else x for x in row] for row in s] for s in golden["inputs"]])
with torch.inference_mode():
    scores = policy(inputs.reshape(-1, inputs.shape[2])).reshape(inputs.shape[:2])
    times = [policy(inputs[0]) for _ in range(1000)]
assert not any(name.split(".")[0] in ("learning", "cachesim", "stable_baselines3") for name in sys.modules)
print(json.dumps({
    "difference": float((scores - torch.tensor(golden["scores"])).abs().max()),
    "decisions": scores.argmax(1).tolist() == golden["decisions"],
    "repeats": all(torch.equal(times[0], other) for other in times),
}))
"""


def golden(result: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(result["bundle"]) / "golden.json").read_text())
    return found


def check_result(result: dict[str, Any], requests: int, bound: str = "optimum") -> None:
    """Assert that the answer of `train` has all its parts, and that they fit together."""
    assert result["model"]["name"] == MODEL
    assert result["model"]["version"] >= 1
    assert result["model"]["stage"] == "None"
    assert result["data"]["requests"] == requests
    assert 1 < result["data"]["distinct_keys"] < requests
    assert len(result["data"]["fingerprint"]) == 64
    assert set(result["test"]["baselines"]) == set(BASELINES)
    assert set(result["test"]["bounds"]) == {*BOUNDS, bound}
    scores = {**result["test"]["baselines"], **result["test"]["bounds"], "policy": result["test"]["policy"]}
    for score in scores.values():
        assert all(0 < score[ratio] < 1 for ratio in RATIOS)
        assert score["requests"] == requests - int(0.6 * requests)
    worth = {name: score["value_ratio"] for name, score in scores.items()}
    assert worth[result["best_baseline"]] == max(worth[name] for name in BASELINES)
    assert result["bound"] == bound
    assert max(worth.values()) == worth[bound]
    closed = (worth["policy"] - worth["lru"]) / (worth[bound] - worth["lru"])
    assert result["gap_closed"] == result["gaps_closed"]["policy"] == pytest.approx(closed)
    assert set(result["test"]["comparisons"]["policy"]) == {"lru", result["best_baseline"]}
    for name, found in result["test"]["comparisons"]["policy"].items():
        interval = found["value_ratio"]
        assert interval["difference"] == pytest.approx(worth["policy"] - worth[name])
        assert interval["low"] < interval["difference"] < interval["high"]
    assert list(result["seconds"]) == STEPS
    assert all(seconds >= 0 for seconds in result["seconds"].values())


def test_json_is_one_object_with_every_part_and_all_else_goes_to_stderr(trained):
    result = trained.done.result
    check_result(result, requests=12_000)
    assert list(result["cache"]) == ["objects"]
    assert result["cache"]["objects"] == round(0.05 * result["data"]["distinct_keys"])
    assert [line.split()[0] for line in trained.done.err.splitlines() if line.endswith(" s")] == STEPS
    assert f"version {result['model']['version']}" in trained.done.err
    assert "Warning" not in trained.done.err
    assert local_servers(trained.home) == []


def test_mlflow_holds_parameters_curves_scores_bundle_and_report(trained):
    result = trained.done.result
    client, run_id = store(trained.home), result["run_id"]
    found = client.get_run(run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params["algorithm"] == "dqn"
    assert found.data.params["timesteps"] == "5000"
    assert found.data.params["cache_fraction"] == "0.05"
    assert found.data.params["capacity"] == f"{result['cache']['objects']} objects"
    assert float(found.data.params["learning_rate"]) > 0  # the one in effect
    assert "None" not in found.data.params.values()
    for name in ("reward", "loss", "training_hit_ratio", "validation_hit_ratio"):
        curve = [point.value for point in client.get_metric_history(run_id, f"curves/{name}")]
        assert len(curve) > 1
        assert np.isfinite(curve).all()
    assert found.data.metrics["test/hit_ratio"] == result["test"]["policy"]["hit_ratio"]
    assert found.data.metrics["test_bounds/hit_ratio.belady"] == result["test"]["bounds"]["belady"]["hit_ratio"]
    assert found.data.metrics["test/gap_closed"] == pytest.approx(result["gap_closed"])
    bundle = {Path(file.path).name for file in client.list_artifacts(run_id, "bundle")}
    assert bundle == {"policy.pt", "policy.onnx", "metadata.json", "golden.json", "README.md"}
    report = {file.path for file in client.list_artifacts(run_id) if not file.is_dir}
    assert report == {"scores.json", "scores.png", "timeline.png", "training.png"}
    best = result["best_baseline"]
    interval = result["test"]["comparisons"]["policy"][best]["value_ratio"]
    for part, value in interval.items():
        assert found.data.metrics[f"test_comparisons/{part}.policy.{best}"] == value


def test_rl_models_mirrors_the_version_with_its_histories(trained):
    result = trained.done.result
    version, run_id = result["model"]["version"], result["run_id"]
    assert versions(trained.home)[version] == run_id
    columns = "algorithm, cache_size, cache_bytes, timesteps, data_fingerprint, reward_history, hit_rate_history"
    row = select(trained.home, f"SELECT {columns} FROM rl_models WHERE mlflow_run_id = '{run_id}'")[0]
    assert row[:3] == ("dqn", result["cache"]["objects"], None)
    assert row[3] >= 5_000
    assert row[4] == result["data"]["fingerprint"]
    for name, history in zip(("reward", "training_hit_ratio"), row[5:], strict=True):
        points = store(trained.home).get_metric_history(run_id, f"curves/{name}")
        assert json.loads(history) == [[point.step, point.value] for point in points]


def test_the_bundle_is_whole_and_says_what_it_was_trained_on(trained):
    result = trained.done.result
    assert Path(result["bundle"]) in bundles(trained.home)
    metadata = json.loads((Path(result["bundle"]) / "metadata.json").read_text())
    assert metadata["data"]["fingerprint"] == result["data"]["fingerprint"]
    assert metadata["evaluation"]["test"] == result["test"]
    assert metadata["capacity"]["limit"] == result["cache"]["objects"]
    assert metadata["capacity"]["unit"] == "objects"


def test_the_same_command_gives_the_same_policy_in_the_next_version(trained, trained_again):
    first, second = trained.done.result, trained_again.result
    assert second["run_id"] != first["run_id"]
    assert (first["model"]["version"], second["model"]["version"]) == (1, 2)
    assert versions(trained.home)[2] == second["run_id"]
    assert golden(second) == golden(first)
    assert second["test"] == first["test"]
    assert second["data"] == first["data"]
    assert rows(trained.home)["cache_metrics"] == 12_000


def test_another_seed_gives_another_policy(trained, trained_with_another_seed):
    assert trained_with_another_seed.status == 0, trained_with_another_seed.err
    (line,) = [line for line in trained_with_another_seed.out.splitlines() if line.startswith("bundle ")]
    bundle = Path(line.split(maxsplit=1)[1])
    first = trained.done.result
    assert golden({"bundle": bundle})["scores"] != golden(first)["scores"]
    assert json.loads((bundle / "metadata.json").read_text())["data"]["fingerprint"] == first["data"]["fingerprint"]


def test_bare_torch_reproduces_the_golden_rows_and_repeats_itself_1000_times(trained):
    bundle = Path(trained.done.result["bundle"])
    command = [sys.executable, "-W", "ignore", "-c", BARE_TORCH, str(bundle / "policy.pt"), str(bundle / "golden.json")]
    done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["difference"] <= 1e-5
    assert found["decisions"]
    assert found["repeats"]


def test_onnxruntime_agrees_within_1e_5_and_repeats_itself_1000_times(trained):
    rows = golden(trained.done.result)
    session = onnxruntime.InferenceSession(Path(trained.done.result["bundle"]) / "policy.onnx")
    name = session.get_inputs()[0].name
    states = np.array(rows["inputs"], np.float32)  # [g, K, f], None -> NaN
    scores = session.run(None, {name: states.reshape(-1, states.shape[2])})[0].reshape(states.shape[:2])
    expected = np.array(rows["scores"])
    assert np.all(np.abs(scores - expected) <= 1e-5 * np.maximum(1, np.abs(expected)))
    outputs = [session.run(None, {name: states[0]})[0] for _ in range(1000)]
    assert all(np.array_equal(outputs[0], other) for other in outputs)


@pytest.mark.parametrize("name", ["scores.png", "timeline.png", "training.png"])
def test_the_plots_are_pictures_of_something(name, trained):
    path = Path(trained.done.result["report"]) / name
    assert path.read_bytes().startswith(b"\x89PNG")
    pixels = matplotlib.image.imread(path)
    assert min(pixels.shape[:2]) > 300
    assert pixels[..., :3].std() > 0.01


def test_without_a_source_an_empty_table_is_filled_with_simulated_traffic_and_it_says_so(simulated):
    result = simulated.done.result
    check_result(result, requests=100_000, bound="pfoo")  # weighted
    lines = simulated.done.err.splitlines()
    assert lines[0] == "the table cache_metrics is empty: recording simulated traffic of an energy data API first"
    assert lines[1] == "energy traffic, 100000 requests, seed 0: 100,000 requests, 100,000 of them new"
    assert rows(simulated.home)["cache_metrics"] == 100_000


def test_weights_and_feature_columns_reach_the_policy(simulated):
    result = simulated.done.result
    metadata = json.loads((Path(result["bundle"]) / "metadata.json").read_text())
    assert metadata["objective"] == {"load_time_ms": 1.0}
    assert "origin_version" in metadata["features"][-1]["name"]
    for score in (result["test"]["policy"], *result["test"]["baselines"].values()):
        assert score["value_ratio"] == pytest.approx(score["saved_load_time_ratio"], abs=1e-4)
    row = select(simulated.home, "SELECT feature_columns, cache_weights FROM rl_models")[0]
    assert [json.loads(value) for value in row] == [["origin_version"], {"load_time_ms": 1.0}]


def test_a_filled_table_is_trained_on_as_it_is_also_in_bytes(simulated, command_line):
    words = ("--cache-bytes", 200_000, "--max-queries", 20_000, "--timesteps", 2_000, "--algorithm", "ppo", "--json")
    done = command_line(simulated.home, "train", *words)
    check_result(done.result, requests=20_000, bound="pfoo")
    assert done.result["cache"] == {"bytes": 200_000}
    assert "recording" not in done.err
    assert rows(simulated.home)["cache_metrics"] == 100_000
    assert select(simulated.home, "SELECT cache_size, cache_bytes FROM rl_models ORDER BY id DESC")[0] == (
        None,
        200_000,
    )


def test_without_json_the_scores_and_paths_are_on_stdout(trained, trained_with_another_seed):
    done = trained_with_another_seed
    assert done.status == 0, done.err
    for text in ("dqn (learned)", "belady (knows the future)", "best baseline in hindsight", "bundle  ", "report  "):
        assert text in done.out
    assert [line.split()[0] for line in done.err.splitlines() if line.endswith(" s")] == STEPS
    assert set(mlflow_runs(trained.home).values()) == {"FINISHED"}


def test_several_seeds_are_compared_and_the_best_in_validation_is_registered(trained, command_line):
    words = ("--algorithm", "a2c", "--timesteps", 2_000, "--seeds", 2, "--seed", 7, "--json")
    result = command_line(trained.home, "train", "--source", "none", "--cache-fraction", 0.05, *words).result
    assert result["data"] == trained.done.result["data"]  # without a source the table is read
    seeds = result["seeds"]
    assert [run["seed"] for run in seeds["runs"]] == [7, 8]
    best = max(seeds["runs"], key=lambda run: run["validation"])
    assert seeds["kept"] == best["seed"]
    assert result["test"]["policy"]["value_ratio"] == best["test"]
    assert seeds["test"]["sd"] >= 0
    metadata = json.loads((Path(result["bundle"]) / "metadata.json").read_text())
    assert metadata["seeds"]["training"] == best["seed"]
    assert json.loads(select(trained.home, "SELECT reward_history FROM rl_models ORDER BY id DESC")[0][0])
