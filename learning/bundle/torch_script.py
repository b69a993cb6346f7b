"""TorchScript: writes a policy for programs without our code, and runs such a file. torch calls it deprecated."""

import io
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def to_torch_script(policy: torch.nn.Module, example: torch.Tensor) -> bytes:
    """Return `policy` as a TorchScript archive, the same bytes for the same policy in every new process.

    Args:
        policy: float32 [n, f] -> float32 [n], on the CPU, without branches that depend on values.
        example: float32 [n, f], rows to trace with.
    """
    traced, stripped = io.BytesIO(), io.BytesIO()
    with quiet_torch(), torch.no_grad():
        torch.jit.save(torch.jit.trace(policy, example, check_trace=False), traced)  # type: ignore[no-untyped-call]
    with zipfile.ZipFile(traced) as source, zipfile.ZipFile(stripped, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            if not name.endswith(".debug_pkl"):  # names the files of the machine that traced
                target.writestr(zipfile.ZipInfo(name), source.read(name))  # a bare ZipInfo has a fixed date
    return stripped.getvalue()


def load_torch_script(archive: bytes) -> torch.jit.ScriptModule:
    """Return the policy of `archive`, on the CPU; RuntimeError when it is no TorchScript that can be read."""
    with quiet_torch():
        module: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(archive), map_location="cpu")  # type: ignore[no-untyped-call]
    return module.eval()


def torch_scorer(module: torch.jit.ScriptModule) -> Callable[[FloatArray], FloatArray]:
    """Return the function float32 [n, f] -> float32 [n] that `module` computes."""

    def scores(rows: FloatArray) -> FloatArray:
        with torch.inference_mode():
            return np.asarray(module(torch.tensor(rows, dtype=torch.float32)).numpy(), np.float32)

    return scores


@contextmanager
def quiet_torch() -> Iterator[None]:
    """Silence what torch says of TorchScript and of the ONNX exporter that traces: deprecated, and still the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
