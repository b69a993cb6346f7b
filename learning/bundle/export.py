"""Exports a bundle: writes a checked policy that other programs can load, whole or not at all."""

import json
from pathlib import Path

import numpy as np
import torch

from learning.bundle.golden import check_shapes, require_close, tolerance_of
from learning.bundle.load import (
    FILES,
    GOLDEN,
    HASHED_FILES,
    METADATA,
    ONNX,
    POLICY,
    README,
    digest,
    load_bundle,
    load_policy,
    read_metadata,
)
from learning.bundle.onnx import onnx_scorer, write_onnx
from learning.bundle.readme import bundle_readme
from learning.bundle.strict_json import content_sha256
from learning.bundle.torch_script import FloatArray, to_torch_script, torch_scorer
from schemas.bundle import SCHEMA_VERSION, BundleMetadata, GoldenRows, PolicyDescription
from schemas.errors import BundleError
from support.atomic import sync, temporary_directory

GOLDEN_STATES = 24


def export_bundle(
    policy: torch.nn.Module,
    states: FloatArray,
    reference_scores: FloatArray,
    description: PolicyDescription,
    folder: Path,
) -> Path:
    """Write `policy` to `folder`, which appears whole and checked, or not at all.

    Both files of the network are read back and must give every reference score within `tolerance_of` them; the same
    decisions follow, but between candidates whose scores lie closer together than twice that. An export that is there
    already and does the same is left as it is.

    Args:
        policy: raw features float32 [n, f] -> scores float32 [n] or [n, actions], made of plain operators, any n.
        states: float32 [n_states, K, f], raw features of the K candidates of decisions, or of a miss, K = 1; NaN =
            unknown.
        reference_scores: float [n_states, K], or [n_states, actions], what the trained policy says of `states`.
        description: all that `metadata.json` holds but the hashes.
        folder: the new folder; its parent is made.

    Returns:
        `folder`.

    Raises:
        BundleError: the files do not score as the trained policy does, or `folder` holds something else.
    """
    check_shapes(states, reference_scores, len(description.features))
    try:
        with temporary_directory(folder.parent) as work:
            _write_networks(policy, states, work)
            _check_scores(work, states, reference_scores)
            _describe(description, states, work)
            load_bundle(work)
            _publish(work, folder)
    except OSError as error:
        raise BundleError(f"bundle {folder} cannot be written: {error.strerror} ({error.filename})") from error
    return folder


# --- write: the files ---


def _write_networks(policy: torch.nn.Module, states: FloatArray, work: Path) -> None:
    example = torch.from_numpy(np.array(states[0], np.float32))  # [K, f]
    policy = policy.eval()
    (work / POLICY).write_bytes(to_torch_script(policy, example))
    write_onnx(policy, example, work / ONNX)


def _describe(description: PolicyDescription, states: FloatArray, work: Path) -> None:
    module = load_policy(work, (work / POLICY).read_bytes())
    (work / GOLDEN).write_text(_golden_json(module, states))
    (work / README).write_text(bundle_readme(description), encoding="utf-8")
    hashes = {name: digest((work / name).read_bytes()) for name in HASHED_FILES}
    content = {"schema_version": SCHEMA_VERSION, **description.model_dump(mode="json"), "files": hashes}
    named = content | {"sha256": content_sha256(content, METADATA)}
    (work / METADATA).write_text(json.dumps(named, allow_nan=False, indent=2) + "\n")


def _golden_json(module: torch.jit.ScriptModule, states: FloatArray) -> str:
    chosen = np.unique(np.linspace(0, len(states) - 1, GOLDEN_STATES).astype(int))
    inputs = np.asarray(states[chosen], np.float32)  # [g, K, f]
    score = torch_scorer(module)
    scores = np.stack([score(state).reshape(-1) for state in inputs])  # [g, K] or [g, actions]
    golden = GoldenRows(
        tolerance=tolerance_of(scores),
        inputs=[[[_short(x) for x in row] for row in state] for state in inputs],
        scores=[[float(str(s)) for s in state] for state in scores],
        decisions=scores.argmax(axis=1).tolist(),
    )
    return json.dumps(golden.model_dump(), allow_nan=False) + "\n"


def _short(value: np.float32) -> float | None:
    """Return the shortest decimal that reads back as the same float32; None for NaN."""
    return None if np.isnan(value) else float(str(value))


# --- write: the checks, and the moment it appears ---


def _check_scores(work: Path, states: FloatArray, reference: FloatArray) -> None:
    rows = np.ascontiguousarray(states, np.float32).reshape(-1, states.shape[2])
    module = load_policy(work, (work / POLICY).read_bytes())
    needed = (len(rows),) if reference.shape == states.shape[:2] else (len(rows), reference.shape[1])
    for name, score in ((POLICY, torch_scorer(module)), (ONNX, onnx_scorer(work / ONNX))):
        scores = score(rows)
        if scores.shape != needed:
            raise BundleError(f"{name} gives scores of shape {scores.shape} for {len(rows)} rows; {needed} is needed")
        require_close(f"{name} against the trained policy", scores.reshape(reference.shape), reference)


def _publish(work: Path, folder: Path) -> None:
    for path in (*(work / name for name in FILES), work):
        sync(path)
    try:
        work.rename(folder)  # fails when the folder is there and not empty
    except OSError:
        if not folder.exists():
            raise
        _require_same(folder, read_metadata(work))
    sync(folder.parent)


def _require_same(folder: Path, metadata: BundleMetadata) -> None:
    """Raise BundleError unless `folder` holds a bundle that does what `metadata` describes.

    `policy.pt` may differ: in one process TorchScript numbers the classes of a second export anew. `policy.onnx` is
    the same network and does not.
    """

    def identity(part: BundleMetadata) -> BundleMetadata:
        return part.model_copy(update={"files": part.files | {POLICY: ""}, "sha256": ""})

    if identity(load_bundle(folder).metadata) != identity(metadata):
        raise BundleError(f"bundle {folder} is there already and holds another policy; choose another folder")
