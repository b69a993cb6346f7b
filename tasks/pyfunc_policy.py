"""The exported policy as MLflow loads it ("model from code").

MLflow copies this file next to the model and runs it by itself, so it imports nothing of ours, and names its model at
the end as MLflow wants it. Nothing here imports it.
"""

from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray


class CachePolicy(PythonModel):
    """Scores candidates: a table with the raw features as named columns -> float32 [n], the highest is dropped."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the TorchScript file."""
        self._policy = torch.jit.load(context.artifacts["policy"], map_location="cpu")  # type: ignore[no-untyped-call]

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> NDArray[np.float32]:
        """Return the scores, float32 [n], of the n rows of `model_input`, whose columns the signature orders."""
        rows = torch.tensor(np.asarray(model_input, np.float32))  # [n, f]
        with torch.inference_mode():
            return np.asarray(self._policy(rows).numpy())


mlflow.models.set_model(CachePolicy())
