"""What can be done with the state of any policy: a tree of named tuples whose leaves are arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

GIVEN = ("scorer", "work", "missing", "half_lives", "stride", "objective")
"""Parts of a state that follow from the options of `start` alone, or carry nothing from one request to the next."""


def leaves(state: Any) -> list[NDArray[Any]]:
    """Return the arrays of a state, in order."""
    return [state] if isinstance(state, np.ndarray) else [array for part in state for array in leaves(part)]


def changing(state: Any) -> list[NDArray[Any]]:
    """Return the arrays of a state but for those of `GIVEN`, in order: what a snapshot holds."""
    if isinstance(state, np.ndarray):
        return [state]
    parts = zip(state._fields, state, strict=True)
    return [array for name, part in parts if name not in GIVEN for array in changing(part)]


def copy_into(source: Any, target: Any, source_keys: int, target_keys: int) -> None:
    """Copy a state for `source_keys` object codes into one of at least as many, newly started with the same options.

    Arrays of one entry a key grow in the middle: what lies behind the last key, as the heads of lists do, stays last.
    """
    for old, new in zip(changing(source), changing(target), strict=True):
        differing = [axis for axis, (m, n) in enumerate(zip(old.shape, new.shape, strict=True)) if m != n]
        if not differing:
            new[...] = old
            continue
        old, new = np.moveaxis(old, differing[0], 0), np.moveaxis(new, differing[0], 0)
        new[:source_keys] = old[:source_keys]
        new[target_keys:] = old[source_keys:]
