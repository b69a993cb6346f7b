"""The registry: MLflow and `rl_models` name the same versions, whatever is killed when."""

import base64
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from learning.bundle.load import bundle_sha256, load_bundle
from schemas.errors import BundleError, StorageError
from schemas.tables import utc_now
from support.process_owner import current_owner
from tasks.registry.register import RegisteredModel, register, settle_registrations
from tasks.registry.sql_side import ABANDONED, INTENDED, REGISTERED
from tasks.steps import LOGGER
from tasks.tracking.tracker import open_tracker
from tests.learning.bundle.bundles import N_FEATURES
from tests.tasks.registry.stores import NAME, Stores, settings_of

STEPS = ("model logged", "row logged", "intent recorded", "model created", "version created")


@contextmanager
def after_step(name: str, act: Callable[[], object]) -> Iterator[None]:
    """Call `act` whenever a step of a registration is done whose name ends like this."""

    class Acting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("register:") and record.getMessage().endswith(name):
                act()

    handler, level = Acting(), LOGGER.level
    LOGGER.setLevel(logging.INFO)
    LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)


def interrupt() -> None:
    raise KeyboardInterrupt


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
    assert (row["decision"], row["algorithm"], row["data_fingerprint"]) == ("eviction", "dqn", "0" * 64)
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


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is :DeprecationWarning")
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
    np.testing.assert_allclose(model.predict(table), expected, rtol=1e-5)
    np.testing.assert_allclose(
        model.predict(table[table.columns[::-1]]), expected, rtol=1e-5
    )  # named: the order is free


def test_the_saved_model_holds_no_pickle_and_names_its_libraries(stores: Stores, bundle: Path, tmp_path: Path) -> None:
    run_id = stores.train()
    stores.register(run_id, bundle)
    folder = Path(stores.tracker.client.download_artifacts(run_id, "model", str(tmp_path)))
    assert not [p.name for p in folder.rglob("*") if p.suffix == ".pkl"]
    libraries = (folder / "requirements.txt").read_text().split()
    assert sorted(line.partition("==")[0] for line in libraries) == ["mlflow", "numpy", "pandas", "torch"]


def test_an_interrupted_registration_of_the_same_run_can_be_given_again(stores: Stores, bundle: Path) -> None:
    run_id = stores.train()
    for step in STEPS:
        with after_step(step, interrupt), pytest.raises(KeyboardInterrupt):
            stores.register(run_id, bundle)
    assert stores.register(run_id, bundle).version == 1
    assert stores.mirrored() == stores.in_mlflow() == {1: run_id}


def test_another_process_may_settle_a_registration_that_is_under_way(stores: Stores, bundle: Path) -> None:
    run_id = stores.train()
    settled: list[str] = []

    with after_step("", lambda: settled.extend(settle_registrations(stores.engine, stores.tracker))):
        model = stores.register(run_id, bundle)
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


def test_the_intent_of_a_live_process_is_left_alone(stores: Stores) -> None:
    stores.add_intent("other", current_owner(), utc_now())
    assert settle_registrations(stores.engine, stores.tracker) == []
    assert stores.events() == [(INTENDED, None)]


@pytest.mark.parametrize(("age", "sentences"), [(timedelta(hours=1), 0), (timedelta(days=2), 1)])
def test_the_intent_of_another_host_is_abandoned_after_a_day(stores: Stores, age: timedelta, sentences: int) -> None:
    stores.add_intent("other", f"another-host~{os.getpid()}~1", utc_now() - age)
    assert len(settle_registrations(stores.engine, stores.tracker)) == sentences
    assert [event for event, _ in stores.events()] == [INTENDED, ABANDONED][: 1 + sentences]


def test_a_database_that_mirrors_another_store_is_refused_before_anything_is_written(
    stores: Stores, home: Path, empty_store: Path, bundle: Path
) -> None:
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
