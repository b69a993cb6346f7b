"""The exported policy as MLflow loads it ("model from code").

MLflow copies this file next to the model and runs it by itself, so it imports nothing of ours, and names its model at
the end as MLflow wants it. Nothing here imports it.
"""

from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray


class CachePolicy(PythonModel):
    """Scores candidates, float32 [n], or actions, [n, actions]: of a table of raw features with named columns."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the TorchScript file, and what stands for unknown values: FEATURE: number, from the configuration."""
        self._policy = torch.jit.load(context.artifacts["policy"], map_location="cpu")  # type: ignore[no-untyped-call]
        self._unknown: dict[str, float] = (context.model_config or {})["unknown"]

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> NDArray[np.float32]:
        """Return the scores, float32 [n] or [n, actions], of the n rows; the signature orders the columns.

        A missing value (NaN, null) is replaced by what stands for unknown in its column.

        Raises:
            MlflowException: a value is missing in a column where it cannot be unknown.
        """
        lacking = [name for name, lacks in model_input.isna().any().items() if lacks and name not in self._unknown]
        if lacking:
            raise MlflowException.invalid_parameter_value(
                f"no value in {', '.join(map(str, lacking))}; only {', '.join(self._unknown)} may be null"
            )
        known = model_input.fillna(self._unknown)
        rows = torch.tensor(known.to_numpy(np.float32))  # [n, f]
        with torch.inference_mode():
            return np.asarray(self._policy(rows).numpy())


mlflow.models.set_model(CachePolicy())
