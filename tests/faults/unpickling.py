"""Watches a process for classes that an unpickler looks up, which is how a pickled file runs code."""

import io
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

NUMBA_READERS = {  # of its cache, and of the objects inside a compiled kernel
    ("numba.core.caching", "_load_index"),
    ("numba.core.caching", "_load_data"),
    ("numba.core.serialize", "_numba_unpickle"),
}


def watch() -> list[str]:
    """Return a list to which each class that is looked up is added from now on, with where the look-up came from.

    What is watched is Python's own audit event, which every unpickler raises, that of C too; a process cannot take it
    back. Numba is left out where it reads a compiled kernel: its cache is this machine's, written beside the code.
    """
    looked_up: list[str] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event == "pickle.find_class" and not _is_numba(sys._getframe(1)):
            looked_up.append(f"{arguments[0]}.{arguments[1]} from {_origin(sys._getframe(1))}")

    sys.addaudithook(note)
    return looked_up


def _is_numba(frame: FrameType | None) -> bool:
    while frame is not None:
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) in NUMBA_READERS:
            return True
        frame = frame.f_back
    return False


def _origin(frame: FrameType | None) -> str:
    """Name the innermost functions at work."""
    names = []
    while frame is not None and len(names) < 6:
        names.append(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(names)


# --- a control ---


class Planted:
    """What is pickled to be found."""


def _c_unpickler(_folder: Path) -> None:
    pickle.loads(pickle.dumps(Planted()))


def _python_unpickler(_folder: Path) -> None:
    pickle._Unpickler(io.BytesIO(pickle.dumps(Planted()))).load()  # type: ignore[attr-defined]


def _torch_file(folder: Path) -> None:
    import torch

    torch.save(Planted(), folder / "planted.pt")
    torch.load(folder / "planted.pt", weights_only=False)


def _numpy_file(folder: Path) -> None:
    import numpy as np

    np.save(folder / "planted.npy", np.array([Planted()], dtype=object), allow_pickle=True)
    np.load(folder / "planted.npy", allow_pickle=True)


WAYS_TO_UNPICKLE: dict[str, Callable[[Path], None]] = {
    "C": _c_unpickler,
    "Python": _python_unpickler,
    "torch": _torch_file,
    "numpy": _numpy_file,
}
