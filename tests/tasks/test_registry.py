"""The registry: MLflow and `rl_models` name the same versions, whatever is killed when."""

import base64
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
import torch
from mlflow import MlflowClient

from infra.database import open_database
from infra.settings import Settings
from learning.bundle import bundle_sha256, load_bundle
from learning.bundle_export import export_bundle
from learning.owner import current_owner
from schemas.bundle import Candidates, Capacity, DataSummary, Feature, PolicyDescription, Span
from schemas.errors import BundleError, StorageError
from schemas.tables import rl_model_events, rl_models, utc_now
from tasks.registry import ABANDONED, INTENDED, REGISTERED, RegisteredModel, heal, register
from tasks.tracking import Tracker, open_tracker

REPOSITORY = Path(__file__).parents[2]
NAME = "cache-policy-eviction"
N_FEATURES = 4
STEPS = ("artifacts", "intent", "model", "version", "row")


class LinearPolicy(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.arange(1.0, N_FEATURES + 1))

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        known = torch.where(torch.isnan(raw), torch.zeros_like(raw), raw)
        return (known * self.weight).sum(dim=1)


def description() -> PolicyDescription:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    span = Span(requests=10, first_timestamp=moment, last_timestamp=moment)
    features = [
        Feature(name=f"f{i}", unit="requests", definition="age", transform="none", missing="NaN")
        for i in range(N_FEATURES)
    ]
    return PolicyDescription(
        decision="eviction",
        algorithm="dqn",
        features=tuple(features),
        candidates=Candidates(training=8, use=8),
        action="The candidate with the highest score is dropped.",
        capacity=Capacity(limit=100, unit="objects", objects=100.0),
        history_keys=900,
        objective={},
        data=DataSummary(fingerprint="a" * 64, distinct_keys=3, training=span, **dict(span)),
        seeds={"run": 0},
        hyperparameters={},
        versions={},
        evaluation={},
        created_at=moment,
    )


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    states = np.random.default_rng(0).normal(size=(30, 8, N_FEATURES)).astype(np.float32)
    states[0, 0, 0] = np.nan
    scores = LinearPolicy()(torch.from_numpy(states.reshape(-1, N_FEATURES))).reshape(30, 8).numpy()
    return export_bundle(LinearPolicy(), states, scores, description(), tmp_path_factory.mktemp("bundles") / "b1")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in them: making one takes two seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


def settings_of(home: Path) -> Settings:
    return Settings(
        _env_file=None,
        ers_home=home,
        db_url=f"sqlite:///{home}/ers.db",
        mlflow_tracking_uri=f"sqlite:///{home}/mlflow.db",
    )


@pytest.fixture
def home(tmp_path: Path, empty_store: Path) -> Path:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path


class Stores:
    """Both stores under `home`, and what they hold."""

    def __init__(self, home: Path) -> None:
        self.engine = open_database(settings_of(home))
        self.tracker: Tracker = open_tracker(settings_of(home))

    def train(self) -> str:
        return self.tracker.start_run("a run", {"seed": 0}, {})

    def register(self, run_id: str, bundle: Path, **row: Any) -> RegisteredModel:
        return register(self.engine, self.tracker, run_id, bundle, {"timesteps": 5} | row)

    def rows(self) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [dict(r) for r in connection.execute(sa.select(rl_models).order_by(rl_models.c.id)).mappings()]

    def events(self) -> list[tuple[str, int | None]]:
        columns = (rl_model_events.c.event, rl_model_events.c.version)
        with self.engine.connect() as connection:
            return [tuple(r) for r in connection.execute(sa.select(*columns).order_by(rl_model_events.c.id))]

    def add_intent(self, run_id: str, owner: str, created_at: datetime) -> None:
        evidence = {"owner": owner, "row": {"registered_name": NAME, "mlflow_run_id": run_id, "stage": "None"}}
        values = {"mlflow_run_id": run_id, "registered_name": NAME, "event": INTENDED}
        with self.engine.begin() as connection:
            statement = sa.insert(rl_model_events).values(**values, evidence=evidence, created_at=created_at)
            connection.execute(statement)

    def mirrored(self) -> dict[int, str]:
        return {row["version"]: row["mlflow_run_id"] for row in self.rows()}

    def in_mlflow(self) -> dict[int, str]:
        found = self.tracker.client.search_model_versions(f"name = '{NAME}'")
        return {int(version.version): version.run_id for version in found}


@pytest.fixture
def stores(home: Path) -> Stores:
    return Stores(home)


def test_mlflow_and_rl_models_name_the_same_version(stores: Stores, bundle: Path) -> None:
    run_id = stores.train()
    assert stores.register(run_id, bundle) == RegisteredModel(NAME, 1, "None")
    assert stores.mirrored() == stores.in_mlflow() == {1: run_id}
    assert stores.events() == [(INTENDED, None), (REGISTERED, 1)]


def test_a_second_registration_of_a_run_adds_no_version(stores: Stores, bundle: Path) -> None:
    run_id = stores.train()
    first = stores.register(run_id, bundle)
    assert stores.register(run_id, bundle) == first
    assert stores.mirrored() == stores.in_mlflow() == {1: run_id}
    assert len(stores.events()) == 2


def test_each_run_gets_its_own_version(stores: Stores, bundle: Path) -> None:
    runs = [stores.train() for _ in range(3)]
    assert [stores.register(run, bundle).version for run in runs] == [1, 2, 3]
    assert stores.mirrored() == stores.in_mlflow() == dict(enumerate(runs, start=1))


def test_the_row_holds_what_was_given_and_the_bundle(stores: Stores, bundle: Path) -> None:
    trained_at = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    given = {
        "trained_at": trained_at,
        "reward_history": [1.0, math.nan, np.float32(2.5)],
        "metrics": {"hit_ratio": np.float64(0.5), "bound": math.inf, "counts": np.arange(2)},
        "feature_columns": ("load",),
        "cache_bytes": np.int64(2**40),
    }
    stores.register(stores.train(), bundle, **given)
    (row,) = stores.rows()
    assert row["trained_at"] == trained_at
    assert row["reward_history"] == [1.0, None, 2.5]
    assert row["metrics"] == {"hit_ratio": 0.5, "bound": None, "counts": [0, 1]}
    assert row["feature_columns"] == ["load"]
    assert (row["cache_bytes"], row["timesteps"], row["input_dimension"]) == (2**40, 5, N_FEATURES)
    assert (row["decision"], row["algorithm"], row["data_fingerprint"]) == ("eviction", "dqn", "a" * 64)
    assert base64.b64decode(row["model_base64"]) == (bundle / "policy.pt").read_bytes()
    assert row["bundle_sha256"] == bundle_sha256(bundle)


def test_an_unknown_column_is_refused_before_anything_is_written(stores: Stores, bundle: Path) -> None:
    with pytest.raises(StorageError, match="no column colour"):
        stores.register(stores.train(), bundle, colour="red")
    assert stores.events() == []
    assert stores.in_mlflow() == {}


def test_a_spoilt_bundle_is_not_registered(stores: Stores, bundle: Path, tmp_path: Path) -> None:
    spoilt = Path(shutil.copytree(bundle, tmp_path / "spoilt"))
    (spoilt / "policy.onnx").write_bytes(b"")
    with pytest.raises(BundleError):
        stores.register(stores.train(), spoilt)
    assert stores.events() == []


def test_the_bundle_is_among_the_artifacts_as_it_was(stores: Stores, bundle: Path, tmp_path: Path) -> None:
    run_id = stores.train()
    stores.register(run_id, bundle)
    copy = stores.tracker.client.download_artifacts(run_id, "bundle", str(tmp_path))
    assert load_bundle(Path(copy)).sha256 == bundle_sha256(bundle)


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated:DeprecationWarning")
def test_mlflow_loads_the_version_and_scores_as_the_bundle_does(stores: Stores, bundle: Path) -> None:
    run_id = stores.train()
    stores.register(run_id, bundle)
    folder = stores.tracker.client.get_model_version(NAME, "1").source
    from mlflow.pyfunc import load_model  # here, because its import warns; registering has done it quietly

    model = load_model(folder)
    rows = np.random.default_rng(1).normal(size=(9, N_FEATURES)).astype(np.float32)
    rows[2, 1] = np.nan
    table = pd.DataFrame(rows, columns=[f"f{i}" for i in range(N_FEATURES)])
    expected = load_bundle(bundle).scores(rows)
    np.testing.assert_array_equal(model.predict(table), expected)
    np.testing.assert_array_equal(model.predict(table[table.columns[::-1]]), expected)  # named: the order is free


def test_the_saved_model_holds_no_pickle_and_names_its_libraries(stores: Stores, bundle: Path, tmp_path: Path) -> None:
    run_id = stores.train()
    stores.register(run_id, bundle)
    folder = Path(stores.tracker.client.download_artifacts(run_id, "model", str(tmp_path)))
    assert not [p.name for p in folder.rglob("*") if p.suffix == ".pkl"]
    libraries = (folder / "requirements.txt").read_text().split()
    assert sorted(line.partition("==")[0] for line in libraries) == ["mlflow", "numpy", "pandas", "torch"]


# The child registers and is killed after a step; children are forked from one process that has imported everything.
KILLED = """
import json, os, pathlib, signal, sys
from infra.database import open_database
from infra.settings import Settings
from tasks.registry import register
from tasks.tracking import open_tracker

def child(home, bundle, point):
    settings = Settings(_env_file=None, ers_home=home, db_url=f"sqlite:///{home}/ers.db",
                        mlflow_tracking_uri=f"sqlite:///{home}/mlflow.db")
    tracker = open_tracker(settings)
    run_id = tracker.start_run("killed", {}, {})
    print(run_id, flush=True)
    die = lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == point else None
    register(open_database(settings), tracker, run_id, pathlib.Path(bundle), {"timesteps": 7}, die)

for home, point in json.loads(sys.argv[2]):
    pid = os.fork()
    if not pid:
        child(home, sys.argv[1], point)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, empty_store: Path, bundle: Path) -> dict[str, tuple[Path, str]]:
    """For each step, a home whose registration was killed right after it, and the run's id."""
    homes = [(str(tmp_path_factory.mktemp(step)), step) for step in STEPS]
    for home, _ in homes:
        shutil.copy(empty_store, Path(home) / "mlflow.db")
    command = [sys.executable, "-c", KILLED, str(bundle), json.dumps(homes)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    return {step: (Path(home), run) for (home, step), run in zip(homes, done.stdout.split(), strict=True)}


@pytest.mark.parametrize("step", STEPS)
def test_after_a_kill_the_stores_agree_and_the_next_registration_succeeds(
    killed: dict[str, tuple[Path, str]], bundle: Path, step: str
) -> None:
    home, killed_run = killed[step]
    stores = Stores(home)
    run_id = stores.train()
    model = stores.register(run_id, bundle)
    survived = {1: killed_run} if step in ("version", "row") else {}
    assert stores.mirrored() == stores.in_mlflow() == {**survived, model.version: run_id}
    outcome = {"artifacts": None, "intent": ABANDONED, "model": ABANDONED, "version": REGISTERED, "row": REGISTERED}
    killed_events = [event for event, _ in stores.events()][:-2]
    assert killed_events == ([INTENDED, outcome[step]] if outcome[step] else [])
    assert stores.tracker.client.get_run(killed_run).info.status == "KILLED"
    assert heal(stores.engine, stores.tracker) == []  # nothing is left to settle


def test_a_completed_registration_has_the_row_that_the_killed_process_meant(
    killed: dict[str, tuple[Path, str]], bundle: Path
) -> None:
    home, run_id = killed["version"]
    stores = Stores(home)
    heal(stores.engine, stores.tracker)
    row = stores.rows()[0]
    assert (row["mlflow_run_id"], row["timesteps"], row["version"]) == (run_id, 7, 1)
    assert base64.b64decode(row["model_base64"]) == (bundle / "policy.pt").read_bytes()


def test_an_interrupted_registration_of_the_same_run_can_be_given_again(stores: Stores, bundle: Path) -> None:
    run_id = stores.train()
    for step in STEPS[:-1]:
        with pytest.raises(KeyboardInterrupt):
            register(stores.engine, stores.tracker, run_id, bundle, {}, _interrupt(step))
    assert stores.register(run_id, bundle).version == 1
    assert stores.mirrored() == stores.in_mlflow() == {1: run_id}


def test_another_process_may_settle_a_registration_that_is_under_way(stores: Stores, bundle: Path) -> None:
    run_id = stores.train()
    settled: list[str] = []

    def other_process(step: str) -> None:
        settled.extend(heal(stores.engine, stores.tracker))

    model = register(stores.engine, stores.tracker, run_id, bundle, {}, other_process)
    assert len(settled) == 1  # once MLflow had the version, and not before
    assert stores.mirrored() == stores.in_mlflow() == {model.version: run_id}
    assert stores.events() == [(INTENDED, None), (REGISTERED, 1)]


def test_a_version_that_somebody_made_of_the_run_is_taken_over(stores: Stores, bundle: Path) -> None:
    run_id = stores.train()
    client = stores.tracker.client
    client.create_registered_model(NAME)
    client.create_model_version(NAME, f"{client.get_run(run_id).info.artifact_uri}/model", run_id)
    assert stores.register(run_id, bundle).version == 1
    assert stores.mirrored() == stores.in_mlflow() == {1: run_id}


def _interrupt(point: str) -> Callable[[str], None]:
    def after_step(step: str) -> None:
        if step == point:
            raise KeyboardInterrupt

    return after_step


def test_the_intent_of_a_live_process_is_left_alone(stores: Stores) -> None:
    stores.add_intent("other", current_owner(), utc_now())
    assert heal(stores.engine, stores.tracker) == []
    assert stores.events() == [(INTENDED, None)]


@pytest.mark.parametrize(("age", "sentences"), [(timedelta(hours=1), 0), (timedelta(days=2), 1)])
def test_the_intent_of_another_host_is_abandoned_after_a_day(stores: Stores, age: timedelta, sentences: int) -> None:
    stores.add_intent("other", f"another-host~{os.getpid()}~1", utc_now() - age)
    assert len(heal(stores.engine, stores.tracker)) == sentences
    assert [event for event, _ in stores.events()] == [INTENDED, ABANDONED][: 1 + sentences]


def test_a_database_that_mirrors_another_store_is_refused_before_anything_is_written(
    home: Path, empty_store: Path, bundle: Path
) -> None:
    stores = Stores(home)
    stores.register(stores.train(), bundle)
    fresh = Path(shutil.copy(empty_store, home / "other.db"))
    other = open_tracker(settings_of(home).model_copy(update={"mlflow_tracking_uri": f"sqlite:///{fresh}"}))
    run_id = other.start_run("elsewhere", {}, {})
    with pytest.raises(StorageError, match="MLFLOW_TRACKING_URI") as caught:
        register(stores.engine, other, run_id, bundle, {})
    assert "\n" not in str(caught.value)
    assert len(stores.rows()) == 1
    assert list(other.client.search_model_versions(f"run_id = '{run_id}'")) == []


def test_a_version_deleted_in_mlflow_does_not_stop_the_next_one(stores: Stores, bundle: Path) -> None:
    stores.register(stores.train(), bundle)
    stores.tracker.client.delete_model_version(NAME, "1")
    assert stores.register(stores.train(), bundle).version == 2
