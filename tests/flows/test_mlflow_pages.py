"""What MLflow's pages show of three runs, looked at in a real browser, of a real server."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from playwright.sync_api import Page, expect

from tests.flows.running import MODEL, CommandLine, Done
from tests.support.browser import chromium, new_page
from tests.support.servers import free_port, serving

ALGORITHMS = ("dqn", "ppo", "a2c")


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an MLflow server that keeps artifacts itself."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    words = ("mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--serve-artifacts")
    words += ("--artifacts-destination", str(folder / "artifacts"), "--port", str(port), "--workers", "1")
    url = f"http://127.0.0.1:{port}"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with serving(folder, f"{url}/health", *words, **quiet):
        yield url


@pytest.mark.slow
def test_three_runs_can_be_compared_by_parameters_curves_and_plots(
    mlflow_server: str, command_line: CommandLine, requests_parquet: Path, tmp_path: Path
) -> None:
    runs = [_train(command_line, mlflow_server, requests_parquet, tmp_path, name) for name in ALGORITHMS]
    ids = [done.result["run_id"] for done in runs]
    words = ("promote", "--version", 1, "--force", "--reason", "to be looked at", "--json")
    assert command_line(tmp_path, *words, MLFLOW_TRACKING_URI=mlflow_server).result["is_new"]
    experiment = MlflowClient(mlflow_server).get_run(ids[0]).info.experiment_id
    with chromium() as browser, new_page(browser) as page:
        _compare_page(page, f"{mlflow_server}/#/compare-runs?runs={_list(ids)}&experiments={_list([experiment])}")
        _charts_page(page, f"{mlflow_server}/#/experiments/{experiment}/runs?compareRunsMode=CHART")
        _run_page(page, f"{mlflow_server}/#/experiments/{experiment}/runs/{ids[0]}")
        _version_page(page, f"{mlflow_server}/#/models/{MODEL}/versions/1")


def _train(command_line: CommandLine, server: str, source: Path, home: Path, algorithm: str) -> Done:
    words = ("train", "--source", source, "--cache-fraction", 0.05, "--timesteps", 3000, "--json")
    done = command_line(home, *words, "--algorithm", algorithm, MLFLOW_TRACKING_URI=server)
    assert done.result["tracking_uri"] == server
    return done


def _list(values: list[str]) -> str:
    return quote(json.dumps(values))


def _look(page: Page, name: str) -> None:
    """Keep a picture of the page where ERS_SCREENSHOTS names a folder; no part of it speaks of an error."""
    if folder := os.environ.get("ERS_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")
    assert "error" not in page.inner_text("body").lower()


def _compare_page(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_text("Comparing 3 Runs from 1 Experiment")).to_be_visible()
    page.get_by_label("Close", exact=True).click()  # the assistant, which takes a third of the page
    for algorithm in ALGORITHMS:
        expect(page.get_by_role("cell", name=algorithm, exact=True).first).to_be_visible()
    expect(page.get_by_role("cell", name="136 objects", exact=True)).to_have_count(3)
    assert "None" not in page.get_by_role("table").all_inner_texts()
    expect(page.get_by_role("link", name="curves/reward", exact=True)).to_be_visible()
    for section in ("Visualizations", "Run details", "Parameters", "Metrics"):
        page.get_by_role("button", name=section, exact=True).click()
    page.get_by_text("scores.png", exact=True).first.dispatch_event("click")
    large = "new Set([...document.images].filter(i => i.naturalWidth > 600).map(i => i.src)).size"
    page.wait_for_function(f"{large} == {len(ALGORITHMS)}")
    _look(page, "compare")


def _charts_page(page: Page, url: str) -> None:
    page.goto(url)
    for curve in ("loss", "reward", "training_hit_ratio"):
        expect(page.get_by_text(f"curves/{curve}", exact=True).first).to_be_visible()
    page.wait_for_function("document.querySelectorAll('.scatterlayer .trace').length >= 9")  # 3 runs in 3 charts
    _look(page, "curves")
    page.get_by_text("plots", exact=True).first.scroll_into_view_if_needed()
    expect(page.get_by_text("plots/scores", exact=True).first).to_be_visible()
    thumbnails = "[...document.images].filter(i => i.src.includes('plots') && i.naturalWidth > 100).length"
    page.wait_for_function(f"{thumbnails} == 9")  # 3 runs in 3 panels
    _look(page, "plots")


def _run_page(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_text("DQN decides which object leaves a full cache of 136 objects.")).to_be_visible()
    expect(page.get_by_text("python -m flows train")).to_be_visible()
    expect(page.get_by_text("requests.parquet").first).to_be_visible()
    _look(page, "run")


def _version_page(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_text("Version 1", exact=True).first).to_be_visible()
    expect(page.get_by_role("link", name="eviction-dqn")).to_be_visible()
    expect(page.get_by_text("DQN decides which object leaves a full cache of 136 objects.")).to_be_visible()
    expect(page.get_by_text("champion").first).to_be_visible()
    _look(page, "version")


def test_a_bundle_that_a_server_lost_is_restored_through_it(
    mlflow_server: str, command_line: CommandLine, requests_parquet: Path, tmp_path: Path
) -> None:
    trained = _train(command_line, mlflow_server, requests_parquet, tmp_path, "a2c")
    run_id, title = trained.result["run_id"], f"{MODEL} version {trained.result['model']['version']}"
    client = MlflowClient(mlflow_server)
    artifacts: Any = get_artifact_repository(client.get_run(run_id).info.artifact_uri, tracking_uri=mlflow_server)
    artifacts.delete_artifacts("bundle/policy.pt")
    found = command_line(tmp_path, "reconcile", "--json", MLFLOW_TRACKING_URI=mlflow_server).result
    assert any(title in sentence and "policy.pt" in sentence for sentence in found["healed"])
    again = command_line(tmp_path, "reconcile", "--json", MLFLOW_TRACKING_URI=mlflow_server).result
    assert not any(title in sentence for sentence in again["healed"] + again["problems"])
