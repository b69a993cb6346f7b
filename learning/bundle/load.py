"""The exported bundle: loads a policy back after every byte and some of its decisions were checked.

Nothing here unpickles: `metadata.json` and `golden.json` are JSON, `policy.pt` is read by TorchScript alone, and only
after its hash was found right. It needs PyTorch, and none of the libraries that learn.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from learning.bundle.golden import Golden, check_shapes, require_close
from learning.bundle.strict_json import content_sha256, one_line, read_json, validated
from learning.bundle.torch_script import FloatArray, load_torch_script, torch_scorer
from schemas.bundle import SCHEMA_VERSION, BundleMetadata, GoldenRows
from schemas.errors import BundleError

POLICY, ONNX, METADATA, GOLDEN, README = "policy.pt", "policy.onnx", "metadata.json", "golden.json", "README.md"
HASHED_FILES = (POLICY, ONNX, GOLDEN, README)
FILES = (*HASHED_FILES, METADATA)
MAX_FILE_BYTES = 64 * 2**20  # a policy has some 20 KB; what is larger than this is not even read


@dataclass(frozen=True)
class LoadedBundle:
    """A bundle whose hashes and golden rows were checked.

    Attributes:
        folder: where it was read from.
        metadata: its description.
        module: the TorchScript policy, on the CPU: raw features float32 [n, f] -> scores float32 [n] or [n, actions].
        sha256: names this very bundle, see `bundle_sha256`.
        golden: the states that the policy scored as recorded.
    """

    folder: Path
    metadata: BundleMetadata
    module: torch.jit.ScriptModule
    sha256: str
    golden: Golden

    def scores(self, features: FloatArray) -> FloatArray:
        """Return the scores of raw `features`, float32 [n, f]: [n], or [n, actions]; the highest is taken."""
        return torch_scorer(self.module)(features)


def load_bundle(folder: Path) -> LoadedBundle:
    """Return the bundle in `folder`, after its hashes and golden rows were checked.

    `folder` may be a link to a bundle: it is followed once, and all files are read from where it led.

    Raises:
        BundleError: a file is missing, unknown, too large, no plain file (a link, a pipe) or changed; the schema is
            older or newer than this program's; or the policy does not score its golden rows as recorded.
    """
    contents = _read_files(folder)
    metadata = _metadata(folder, contents[METADATA])
    for name in HASHED_FILES:
        if digest(contents[name]) != metadata.files[name]:
            raise _changed(folder, name)
    module = load_policy(folder, contents[POLICY])
    golden = _golden(folder, contents[GOLDEN], len(metadata.features))
    _check_golden(folder, module, golden)
    return LoadedBundle(folder, metadata, module, metadata.sha256, golden)


def bundle_sha256(folder: Path) -> str:
    """Return the name of a bundle's contents: the sha256 of what `metadata.json` says, the hashes of the rest too.

    That `metadata.json` is as it was exported is checked; the other files are not looked into.

    Raises:
        BundleError: `folder` holds no bundle, or its `metadata.json` was changed.
    """
    return read_metadata(folder).sha256


def read_metadata(folder: Path) -> BundleMetadata:
    """Return the description in `folder`, checked to be as it was exported; the other files are not looked into.

    Raises:
        BundleError: `folder` holds no bundle, or its `metadata.json` was changed.
    """
    return _metadata(folder, _read_files(folder, (METADATA,))[METADATA])


def digest(content: bytes) -> str:
    """Return the sha256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def load_policy(folder: Path, content: bytes) -> torch.jit.ScriptModule:
    """Return the policy of `content`, a `policy.pt` of `folder`; BundleError when it is none."""
    try:
        return load_torch_script(content)
    except Exception as error:  # of any kind that its reader raises
        raise BundleError(f"bundle {folder}: {POLICY} is no TorchScript: {one_line(error)}; export it again") from None


# --- files ---


def _read_files(folder: Path, names: tuple[str, ...] = FILES) -> dict[str, bytes]:
    """Return the contents of `names`, all from one folder even when a link to it is moved meanwhile."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _check_names(folder, {entry.name for entry in os.scandir(descriptor)})
            return {name: _read_plain(folder, descriptor, name) for name in names}
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BundleError(f"bundle {folder} cannot be read: {error.strerror} ({error.filename})") from None


def _check_names(folder: Path, found: set[str]) -> None:
    if missing := sorted(set(FILES) - found):
        raise BundleError(f"bundle {folder}: {', '.join(missing)} missing; export it again")
    if extra := sorted(found - set(FILES)):
        raise BundleError(f"bundle {folder}: {one_line(', '.join(extra))} does not belong there; remove it")


def _read_plain(folder: Path, descriptor: int, name: str) -> bytes:
    """Return the bytes of a plain file in the folder that is open as `descriptor`; nothing else is even opened."""
    found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        raise BundleError(f"bundle {folder}: {name} is a link or no plain file; put the file itself there")
    if found.st_size > MAX_FILE_BYTES:
        raise BundleError(f"bundle {folder}: {name} has {found.st_size:,} bytes, no file of a bundle has that many")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # should it have become a link or a pipe by now
    with os.fdopen(os.open(name, flags, dir_fd=descriptor), "rb") as file:
        return file.read(found.st_size)


# --- what they say ---


def _metadata(folder: Path, content: bytes) -> BundleMetadata:
    what = f"bundle {folder}: {METADATA}"
    document = read_json(content, what)
    _check_version(document, what)
    if document.get("sha256") != content_sha256(document, what):
        raise _changed(folder, METADATA)
    metadata = validated(BundleMetadata, document, what)
    if set(metadata.files) != set(HASHED_FILES):
        raise BundleError(f"{what}: files must list {', '.join(HASHED_FILES)} and no other; export it again")
    return metadata


def _check_version(document: Any, what: str) -> None:
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        remedy = "it is older, export it again"
        if not isinstance(version, int):
            remedy = "export it again"
        elif version > SCHEMA_VERSION:
            remedy = "it is newer, update this program"
        raise BundleError(
            f"{what} has schema version {one_line(repr(version))}, this program reads {SCHEMA_VERSION}: {remedy}"
        )


def _changed(folder: Path, name: str) -> BundleError:
    return BundleError(f"bundle {folder}: {name} was changed since it was exported; export it again")


def _golden(folder: Path, content: bytes, n_features: int) -> Golden:
    what = f"bundle {folder}: {GOLDEN}"
    recorded = validated(GoldenRows, read_json(content, what), what)
    golden = Golden(_float32(recorded.inputs, what), _float32(recorded.scores, what))  # None -> NaN
    try:
        check_shapes(golden.inputs, golden.scores, n_features)
    except BundleError as error:
        raise BundleError(f"{what}: {error}") from None
    if golden.scores.argmax(axis=1).tolist() != recorded.decisions:
        raise BundleError(f"{what}: its decisions do not follow from its scores; export it again")
    return golden


def _check_golden(folder: Path, module: torch.jit.ScriptModule, golden: Golden) -> None:
    what = f"bundle {folder}: {GOLDEN}"
    try:
        scores = golden.scored_by(torch_scorer(module))
    except Exception as error:  # whatever the code in the file does
        raise BundleError(f"{what}: {POLICY} cannot score it: {one_line(error)}; export it again") from None
    require_close(f"bundle {folder}: {POLICY} against {GOLDEN}", scores, golden.scores)


def _float32(numbers: Any, what: str) -> FloatArray:
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
            return np.array(numbers, np.float32)
    except ValueError:
        raise BundleError(f"{what}: its states differ in shape; export it again") from None
