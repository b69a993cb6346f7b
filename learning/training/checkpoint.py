"""A checkpoint: the state of one training on disk, whole or not at all, read without unpickling objects."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch

from learning.callbacks import Say
from learning.problem import CacheProblem
from schemas.options.train import ReadConfig, TrainConfig
from support.atomic import temporary_file

State = dict[str, Any]  # of tensors, numbers, texts, lists and dictionaries

_ROOT = Path(__file__).parents[2]
_SOURCES = ("cachesim", "envs", "learning", "schemas", "support")
_LIBRARIES = ("torch", "stable-baselines3", "gymnasium", "numpy", "numba")
DATA_OPTIONS = set(ReadConfig.model_fields) - {"key_sample"}  # the fingerprint of the data says all of these
_LATER_OPTIONS = {"seeds", "challenger"}  # how many trainings follow, and what becomes of the policy


def training_identity(problem: CacheProblem, config: TrainConfig) -> str:
    """Return a sha256 of all that decides a training: the data, the options, the code and the libraries."""
    return identity(problem.trace.sha256, config.model_dump(mode="json", exclude=DATA_OPTIONS | _LATER_OPTIONS))


def identity(data: str, options: dict[str, Any]) -> str:
    """Return a sha256 of a fingerprint of data, of options as JSON, of the code and of the libraries."""
    parts = {
        "data": data,
        "options": options,
        "code": _code_fingerprint(),
        "libraries": {library: version(library) for library in _LIBRARIES},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _code_fingerprint() -> str:
    digest = hashlib.sha256()
    for package in _SOURCES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            digest.update(f"{path.relative_to(_ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


class Checkpoint:
    """The file that a training leaves its state in.

    Args:
        path: of the file; its folder is made if need be.
        identity: of the training, see `training_identity`; the state of another one is not used.
        say: takes a line on what is wrong with the file. It is an aid: nothing that befalls it ends a training.
    """

    def __init__(self, path: Path, identity: str, say: Say) -> None:
        self.path, self._identity, self._say = path, identity, say

    def save(self, state: State) -> None:
        """Write `state` atomically in the place of the one before."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Given a name, torch would derive another from it, and fail at the dot.
            with temporary_file(self.path) as temporary, temporary.open("wb") as file:
                torch.save({"identity": self._identity, "state": state}, file)
        except (OSError, RuntimeError) as error:  # torch says "RuntimeError" where the disk is full
            self._say(f"checkpoint {self.path} cannot be written ({_first_line(error)}): training goes on without")

    def load(self) -> State | None:
        """Return the state that was saved last; None when there is none, or none that can be used, which is said."""
        if not self.path.exists():
            return None
        try:
            _check_sums(self.path)
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            identity, state = content["identity"], content["state"]
        except Exception as error:  # whatever a damaged file does to its reader
            self._say(f"checkpoint {self.path} cannot be read ({_first_line(error)}): training starts anew")
            return None
        if identity != self._identity:
            self._say(f"checkpoint {self.path} is of other data, options or code: training starts anew")
            return None
        found: State = state
        return found


def _check_sums(path: Path) -> None:
    """Raise BadZipFile unless each part of the file has the checksum that it was written with; torch looks at none."""
    with ZipFile(path) as parts:
        damaged = parts.testzip()
    if damaged is not None:
        raise BadZipFile(f"{damaged} was changed")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
