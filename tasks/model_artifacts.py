"""The files of a run that make it a version: the bundle, and the policy as a model that MLflow loads and serves."""

import tempfile
import warnings
from importlib.metadata import version as library_version
from pathlib import Path

import numpy as np

from learning.bundle import POLICY, LoadedBundle
from tasks.tracking import Tracker

MODEL_ARTIFACT, BUNDLE_ARTIFACT = "model", "bundle"  # folders among the artifacts of a run
MODEL_CODE = Path(__file__).with_name("pyfunc_policy.py")
MODEL_LIBRARIES = ("mlflow", "numpy", "pandas", "torch")


def log_model(tracker: Tracker, run_id: str, loaded: LoadedBundle) -> None:
    """Log the bundle and the model among the artifacts of a run; StorageError when that fails."""
    tracker.log_artifacts(loaded.folder, BUNDLE_ARTIFACT, run_id)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / MODEL_ARTIFACT
        with tracker.errors(), warnings.catch_warnings():
            # MLflow warns of its own type hints when imported, and that no example of an input is given.
            warnings.simplefilter("ignore", UserWarning)
            _save_model(loaded, run_id, folder)
        tracker.log_artifacts(folder, MODEL_ARTIFACT, run_id)


def _save_model(loaded: LoadedBundle, run_id: str, folder: Path) -> None:
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    inputs = Schema([ColSpec(DataType.double, feature.name) for feature in loaded.metadata.features])
    actions = loaded.metadata.actions
    shape = (-1,) if actions is None else (-1, len(actions.lifetimes_s))
    outputs = Schema([TensorSpec(np.dtype(np.float32), shape, "scores")])
    # Named, so that MLflow does not start a process to find them out, which takes most of a minute.
    libraries = [f"{name}=={library_version(name).partition('+')[0]}" for name in MODEL_LIBRARIES]
    mlflow.pyfunc.save_model(
        path=str(folder),
        python_model=str(MODEL_CODE),
        artifacts={"policy": str(loaded.folder / POLICY)},
        signature=ModelSignature(inputs, outputs),
        pip_requirements=libraries,
        mlflow_model=Model(artifact_path=MODEL_ARTIFACT, run_id=run_id),
        metadata={"bundle_sha256": loaded.sha256},
    )
