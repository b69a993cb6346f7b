"""The shared traces, from the folder that ERS_TRACES_DIR names, else ../shared/traces beside the repository."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from schemas.errors import SourceError
from schemas.trace import Trace

DEFAULT_FOLDER = Path(__file__).parents[2] / "shared" / "traces"


def traces_folder() -> Path:
    """Return the folder of shared traces, whether it is there or not."""
    return Path(os.environ.get("ERS_TRACES_DIR", DEFAULT_FOLDER))


def shared_trace(name: str) -> Trace:
    """Return the shared trace of a name such as "web12": keys and sizes as recorded, no load times, one endpoint.

    Raises:
        SourceError: there is no such file.
    """
    path = traces_folder() / f"{name}.parquet"
    if not path.is_file():
        raise SourceError(f"no trace at {path}: set ERS_TRACES_DIR to the folder of shared traces")
    rows = pd.read_parquet(path, columns=["timestamp", "key", "size_bytes"])
    codes, distinct = pd.factorize(rows["key"])
    return Trace(
        key=codes.astype(np.int64),
        timestamp_s=rows["timestamp"].to_numpy(np.float64, copy=True),
        size_bytes=rows["size_bytes"].to_numpy(np.int64, copy=True),
        load_time_ms=np.full(len(rows), np.nan, np.float32),
        endpoint=np.zeros(len(rows), np.int32),
        n_keys=len(distinct),
    )


def footprint_bytes(trace: Trace) -> int:
    """Return the sum of the sizes of all objects, each as it was first requested."""
    return int(trace.size_bytes[np.unique(trace.key, return_index=True)[1]].sum())
