"""The exported bundle: writes a checked policy that other programs can load, and loads one back.

Nothing here unpickles: `metadata.json` and `golden.json` are JSON, `policy.pt` is read by TorchScript alone.
"""

import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ValidationError

from learning.bundle_readme import bundle_readme
from learning.onnx_export import onnx_scorer, write_onnx
from learning.owner import current_owner, is_gone
from learning.torch_script import FloatArray, load_torch_script, to_torch_script, torch_scorer
from schemas.bundle import SCHEMA_VERSION, BundleMetadata, GoldenRows, PolicyDescription
from schemas.errors import BundleError

Score = Callable[[FloatArray], FloatArray]
Part = TypeVar("Part", bound=BaseModel)
POLICY, ONNX, METADATA, GOLDEN, README = "policy.pt", "policy.onnx", "metadata.json", "golden.json", "README.md"
HASHED_FILES = (POLICY, ONNX, GOLDEN, README)
FILES = (*HASHED_FILES, METADATA)
WORK_PREFIX = ".bundle-"
TOLERANCE = 1e-5  # largest difference of a score, see `tolerance_of`
GOLDEN_STATES = 24


@dataclass(frozen=True)
class LoadedBundle:
    """A bundle whose hashes and golden rows were checked.

    Attributes:
        folder: where it was read from.
        metadata: its description.
        module: the TorchScript policy, on the CPU: raw features float32 [n, f] -> scores float32 [n] or [n, actions].
        sha256: names this very bundle, see `bundle_sha256`.
    """

    folder: Path
    metadata: BundleMetadata
    module: torch.jit.ScriptModule
    sha256: str

    def scores(self, features: FloatArray) -> FloatArray:
        """Return the scores of raw `features`, float32 [n, f]: [n], or [n, actions]; the highest is taken."""
        return torch_scorer(self.module)(features)


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
    _check_shapes(states, reference_scores, len(description.features))
    try:
        with work_folder(folder.parent) as work:
            _write_networks(policy, states, work)
            _check_scores(work, states, reference_scores)
            _describe(description, states, work)
            load_bundle(work)
            _publish(work, folder)
    except OSError as error:
        raise BundleError(f"bundle {folder} cannot be written: {error.strerror} ({error.filename})") from error
    return folder


def load_bundle(folder: Path) -> LoadedBundle:
    """Return the bundle in `folder`, after its hashes and golden rows were checked.

    Raises:
        BundleError: a file is missing, unknown, a link or changed; the schema is newer than this program; or the
            policy does not score its golden rows as recorded.
    """
    contents = _read_files(folder)
    metadata = _read_metadata(folder, contents[METADATA])
    for name in HASHED_FILES:
        if _digest(contents[name]) != metadata.files.get(name):
            raise BundleError(f"bundle {folder}: {name} was changed since it was exported; export it again")
    bundle = LoadedBundle(folder, metadata, _load_module(folder, contents[POLICY]), _digest(contents[METADATA]))
    what = f"bundle {folder}: {GOLDEN}"
    _check_golden(bundle, _validate(GoldenRows, _from_json(contents[GOLDEN], what), what))
    return bundle


def bundle_sha256(folder: Path) -> str:
    """Return the name of a bundle's contents: the sha256 of `metadata.json`, which holds those of the other files.

    Raises:
        BundleError: `folder` has no readable `metadata.json`.
    """
    try:
        return _digest((folder / METADATA).read_bytes())
    except OSError as error:
        raise BundleError(f"bundle {folder}: {METADATA} cannot be read: {error.strerror}") from None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# --- write: the files ---


def _write_networks(policy: torch.nn.Module, states: FloatArray, work: Path) -> None:
    example = torch.from_numpy(np.array(states[0], np.float32))  # [K, f]
    policy = policy.eval()
    (work / POLICY).write_bytes(to_torch_script(policy, example))
    write_onnx(policy, example, work / ONNX)


def _describe(description: PolicyDescription, states: FloatArray, work: Path) -> None:
    module = _load_module(work, (work / POLICY).read_bytes())
    (work / GOLDEN).write_text(_golden_json(torch_scorer(module), states))
    (work / README).write_text(bundle_readme(description))
    hashes = {name: _digest((work / name).read_bytes()) for name in HASHED_FILES}
    metadata = BundleMetadata(**dict(description), files=hashes)
    (work / METADATA).write_text(_to_json(metadata, indent=2))


def _golden_json(score: Score, states: FloatArray) -> str:
    chosen = np.unique(np.linspace(0, len(states) - 1, GOLDEN_STATES).astype(int))
    inputs = np.asarray(states[chosen], np.float32)  # [g, K, f]
    scores = _score_states(score, inputs)  # [g, K] or [g, actions]
    golden = GoldenRows(
        tolerance=tolerance_of(scores),
        inputs=[[[_short(x) for x in row] for row in state] for state in inputs],
        scores=[[float(str(s)) for s in state] for state in scores],
        decisions=scores.argmax(axis=1).tolist(),
    )
    return _to_json(golden)


def _short(value: np.float32) -> float | None:
    """Return the shortest decimal that reads back as the same float32; None for NaN."""
    return None if np.isnan(value) else float(str(value))


def _to_json(part: BaseModel, indent: int | None = None) -> str:
    try:
        return json.dumps(part.model_dump(mode="json"), allow_nan=False, indent=indent) + "\n"
    except ValueError:
        raise BundleError(
            "a number of the bundle's description is NaN or infinite; leave it out or give null"
        ) from None


# --- write: the checks, and the moment it appears ---


def _check_shapes(states: FloatArray, reference: FloatArray, n_features: int) -> None:
    if states.ndim != 3 or 0 in states.shape or states.shape[2] != n_features:
        raise BundleError(f"states must be [n_states, K, {n_features}] as the features described, got {states.shape}")
    of_actions = states.shape[1] == 1 and reference.ndim == 2 and len(reference) == len(states)
    if reference.shape != states.shape[:2] and not of_actions:
        raise BundleError(f"reference_scores must be {states.shape[:2]} as the states, got {reference.shape}")
    if np.isinf(states).any():
        raise BundleError("states hold an infinite feature; give NaN for unknown")
    if not np.isfinite(reference).all():
        raise BundleError("the trained policy scores some states NaN or infinite; train it again at a lower rate")


def _check_scores(work: Path, states: FloatArray, reference: FloatArray) -> None:
    rows = np.ascontiguousarray(states, np.float32).reshape(-1, states.shape[2])
    module = _load_module(work, (work / POLICY).read_bytes())
    needed = (len(rows),) if reference.shape == states.shape[:2] else (len(rows), reference.shape[1])
    for name, score in ((POLICY, torch_scorer(module)), (ONNX, onnx_scorer(work / ONNX))):
        scores = score(rows)
        if scores.shape != needed:
            raise BundleError(f"{name} gives scores of shape {scores.shape} for {len(rows)} rows; {needed} is needed")
        _require_close(f"{name} against the trained policy", scores.reshape(reference.shape), reference)


def _publish(work: Path, folder: Path) -> None:
    for path in (*(work / name for name in FILES), work):
        _sync(path)
    try:
        work.rename(folder)  # fails when the folder is there and not empty
    except OSError:
        if not folder.exists():
            raise
        _require_same(folder, _read_metadata(work, (work / METADATA).read_bytes()))
    _sync(folder.parent)


def _require_same(folder: Path, metadata: BundleMetadata) -> None:
    """Raise BundleError unless `folder` holds a bundle that does what `metadata` describes.

    `policy.pt` may differ: in one process TorchScript numbers the classes of a second export anew. `policy.onnx` is
    the same network and does not.
    """

    def identity(part: BundleMetadata) -> BundleMetadata:
        return part.model_copy(update={"files": {k: v for k, v in part.files.items() if k != POLICY}})

    if identity(load_bundle(folder).metadata) != identity(metadata):
        raise BundleError(f"bundle {folder} is there already and holds another policy; choose another folder")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in `parent` that is named after this process, and remove what is left of it."""
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{WORK_PREFIX}*"):
        if is_gone(left.name.partition("~")[2]):
            shutil.rmtree(left, ignore_errors=True)
    work = parent / f"{WORK_PREFIX}{secrets.token_hex(4)}~{current_owner()}"
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


# --- read ---


def _read_files(folder: Path) -> dict[str, bytes]:
    try:
        found = {entry.name for entry in folder.iterdir()}
        if missing := sorted(set(FILES) - found):
            raise BundleError(f"bundle {folder}: {', '.join(missing)} missing; export it again")
        if extra := sorted(found - set(FILES)):
            raise BundleError(f"bundle {folder}: {', '.join(extra)} does not belong there; remove it")
        return {name: _read_regular(folder / name) for name in FILES}
    except OSError as error:
        raise BundleError(f"bundle {folder} cannot be read: {error.strerror} ({error.filename})") from None


def _read_regular(path: Path) -> bytes:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise BundleError(f"bundle {path.parent}: {path.name} is a link or no plain file; put the file itself there")
    return path.read_bytes()


def _read_metadata(folder: Path, content: bytes) -> BundleMetadata:
    what = f"bundle {folder}: {METADATA}"
    document = _from_json(content, what)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(f"{what} has schema version {version!r}, this program reads {SCHEMA_VERSION}; update it")
    return _validate(BundleMetadata, document, what)


def _from_json(content: bytes, what: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number of JSON")

    try:
        return json.loads(content, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{what} is not valid JSON: {error}; export it again") from None


def _validate(part: type[Part], document: object, what: str) -> Part:
    try:
        return part.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(f"{what}: {where}: {first['msg']}; export it again") from None


def _load_module(folder: Path, content: bytes) -> torch.jit.ScriptModule:
    try:
        return load_torch_script(content)
    except RuntimeError as error:
        raise BundleError(
            f"bundle {folder}: {POLICY} is no TorchScript: {_first_line(error)}; export it again"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _check_golden(bundle: LoadedBundle, golden: GoldenRows) -> None:
    what = f"bundle {bundle.folder}: {GOLDEN}"
    try:
        inputs = np.array(golden.inputs, np.float32)  # [g, K, f], None -> NaN
        expected = np.array(golden.scores, np.float32)  # [g, K]
    except ValueError:
        raise BundleError(f"{what}: its states differ in shape; export it again") from None
    _check_shapes(inputs, expected, len(bundle.metadata.features))
    if expected.argmax(axis=1).tolist() != golden.decisions:
        raise BundleError(f"{what}: its decisions do not follow from its scores; export it again")
    try:
        scores = _score_states(bundle.scores, inputs)
    except RuntimeError as error:
        raise BundleError(f"{what}: {POLICY} cannot score it: {_first_line(error)}; export it again") from None
    _require_close(f"bundle {bundle.folder}: {POLICY} against {GOLDEN}", scores, expected)


# --- scores ---


def _score_states(score: Score, states: FloatArray) -> FloatArray:
    """Return the scores of each state, [g, K] of its candidates or [g, actions], of raw features [g, K, f]."""
    return np.stack([score(state).reshape(-1) for state in states])


def tolerance_of(scores: FloatArray) -> float:
    """Return by how much a score may differ between runtimes: `TOLERANCE` of the largest of `scores`, or of 1.

    A small score can be the difference of large parts, so that its own size does not tell how exact it can be.
    """
    return TOLERANCE * max(1.0, float(np.abs(scores).max()))


def _require_close(what: str, scores: FloatArray, reference: FloatArray) -> None:
    if scores.shape != reference.shape:
        raise BundleError(f"{what}: gives scores of shape {scores.shape} instead of {reference.shape}")
    difference = np.abs(scores - reference)
    if not (difference <= tolerance_of(reference)).all():  # also when one is NaN
        state, number = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), difference.shape)
        got, expected = scores[state, number], reference[state, number]
        raise BundleError(f"{what}: state {state}, score {number} is {got:.7g} instead of {expected:.7g}")
