"""ONNX: writes a policy for runtimes without PyTorch, and runs such a file."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from learning.bundle.torch_script import FloatArray, quiet_torch

OPSET = 13  # the oldest with every operator that a scorer uses; torch writes IR version 7 for it
INPUT, OUTPUT = "features", "scores"


def write_onnx(policy: torch.nn.Module, example: torch.Tensor, path: Path) -> None:
    """Write `policy` to `path` as ONNX with input `features` float32 [n, f], any n, and output `scores` float32 [n].

    The exporter that traces is used, though torch calls it legacy: in 0.2 s it writes plain operators of an old
    opset, where the one built on torch.export takes 3 s and starts at opset 18.

    Args:
        policy: float32 [n, f] -> float32 [n], on the CPU.
        example: float32 [n, f], rows to trace with.
        path: file to write.
    """
    with quiet_torch():
        torch.onnx.export(
            policy,
            (example,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "n"}, OUTPUT: {0: "n"}},
        )


def onnx_scorer(path: Path) -> Callable[[FloatArray], FloatArray]:
    """Return the function float32 [n, f] -> float32 [n] that onnxruntime runs from `path`, on one CPU thread."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def scores(rows: FloatArray) -> FloatArray:
        return np.asarray(session.run([OUTPUT], {INPUT: rows})[0], np.float32)

    return scores
