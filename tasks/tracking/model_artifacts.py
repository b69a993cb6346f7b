"""What a registered version is made of, among the artifacts of its run: the bundle, and the model that MLflow serves.

The model is code (`pyfunc_policy.py`) beside the TorchScript file: nothing that loads it unpickles.
"""

import warnings
from importlib.metadata import version as library_version
from pathlib import Path

import numpy as np
import pandas as pd

from learning.bundle.load import POLICY, LoadedBundle, digest
from support.atomic import temporary_directory, write_errors
from tasks.tracking.tracker import Tracker

MODEL_ARTIFACT, BUNDLE_ARTIFACT = "model", "bundle"  # folders among the artifacts of a run
MODEL_CODE = Path(__file__).with_name("pyfunc_policy.py")
MODEL_LIBRARIES = ("mlflow", "numpy", "pandas", "torch")
EXAMPLE_ROWS = 4


def log_model(tracker: Tracker, run_id: str, loaded: LoadedBundle) -> None:
    """Write the bundle and the model of it to the artifacts of the run; may be repeated.

    Raises:
        StorageError: they cannot be written; what was there before is as it was.
    """
    tracker.log_artifacts(loaded.folder, BUNDLE_ARTIFACT, run_id)
    with write_errors(loaded.folder.parent), temporary_directory(loaded.folder.parent) as work:
        folder = work / MODEL_ARTIFACT
        with tracker.errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of MLflow about its own type hints, and of how it asks pandas
            _save_model(loaded, run_id, folder)
        tracker.log_artifacts(folder, MODEL_ARTIFACT, run_id)


def has_model(tracker: Tracker, run_id: str, loaded: LoadedBundle, work: Path) -> bool:
    """Return whether the model of a run is there, with the policy of its bundle.

    Args:
        tracker: the MLflow store.
        run_id: of the run.
        loaded: its bundle.
        work: folder to download to.

    Raises:
        StorageError: MLflow cannot be read.
    """
    policy = tracker.download(f"{MODEL_ARTIFACT}/artifacts/{POLICY}", work, run_id)
    return policy is not None and digest(policy.read_bytes()) == loaded.metadata.files[POLICY]


def _save_model(loaded: LoadedBundle, run_id: str, folder: Path) -> None:
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    features, actions = loaded.metadata.features, loaded.metadata.actions
    inputs = Schema([ColSpec(DataType.double, feature.name) for feature in features])
    shape = (-1,) if actions is None else (-1, len(actions.lifetimes_s))
    outputs = Schema([TensorSpec(np.dtype(np.float32), shape, "scores")])
    # Named, so that MLflow does not start a process to find them out, which takes most of a minute.
    libraries = [f"{name}=={library_version(name).partition('+')[0]}" for name in MODEL_LIBRARIES]
    mlflow.pyfunc.save_model(
        path=str(folder),
        python_model=str(MODEL_CODE),
        model_config={"unknown": {f.name: f.unknown_value for f in features if f.unknown_value is not None}},
        artifacts={"policy": str(loaded.folder / POLICY)},
        signature=ModelSignature(inputs, outputs),
        input_example=_example(loaded),
        pip_requirements=libraries,
        mlflow_model=Model(artifact_path=MODEL_ARTIFACT, run_id=run_id),
        metadata={"bundle_sha256": loaded.sha256},
    )


def _example(loaded: LoadedBundle) -> pd.DataFrame:
    """Return the first golden rows, float64 with the features' names."""
    rows = loaded.golden.rows[:EXAMPLE_ROWS]
    return pd.DataFrame(rows, columns=[feature.name for feature in loaded.metadata.features], dtype=np.float64)
