"""The folder of checkpoints: which files trainings leave there, and how long they stay."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from learning.problem import CacheProblem
from learning.training.checkpoint import training_identity
from schemas.options.train import TrainConfig
from support.atomic import remove_leftovers

SUFFIX = ".pt"
KEPT_CHECKPOINTS = 4  # of trainings that were ended before their time, and may be begun again


def checkpoint_path(folder: Path, problem: CacheProblem, config: TrainConfig) -> Path:
    """Return the file for the training that data, options and code name: the same again finds what it left."""
    return folder / f"{training_identity(problem, config)[:32]}{SUFFIX}"


def sweep_checkpoints(folder: Path, own: Iterable[Path]) -> None:
    """Remove what is left of killed writers, and all checkpoints but `own` and the newest few of the others."""
    remove_leftovers(folder)
    kept = set(own)
    others = [(_modified_s(path), path) for path in folder.glob(f"*{SUFFIX}") if path not in kept]
    for _, path in sorted(others, reverse=True)[KEPT_CHECKPOINTS:]:
        path.unlink(missing_ok=True)


def remove_checkpoints(paths: Iterable[Path]) -> None:
    """Remove the checkpoints of a run that has succeeded, and their folder when it is empty."""
    for path in paths:
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process has just removed it
        return 0.0
