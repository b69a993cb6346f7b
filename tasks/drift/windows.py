"""Windows: equal stretches of consecutive requests, and how far each has drifted from the others."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from schemas.trace import FloatArray, IntArray
from tasks.drift.psi import Binned, psi


@dataclass(frozen=True)
class Windows:
    """Which stretches of requests are compared: those of the reference, and the newest.

    Attributes:
        size: requests in each.
        starts: positions of the first request of each, rising: of the m that are compared with, then of the newest.
        between: the same of those in between, which take no part and are only shown.
    """

    size: int
    starts: tuple[int, ...]
    between: tuple[int, ...]

    @classmethod
    def of(cls, size: int, reference: range, requests: int) -> "Windows":
        """Cut the requests in `reference` into windows, from its end on, and take the last ones of all `requests`."""
        compared = range(reference.stop - size, reference.start - 1, -size)
        newest = requests - size
        between = range(newest - size, reference.stop - 1, -size)
        return cls(size, (*reversed(compared), newest), tuple(reversed(between)))


def window_counts(feature: Binned, starts: tuple[int, ...], size: int) -> IntArray:
    """Return how many values of each window lie in each bin, (windows, bins)."""
    rows = np.asarray(starts, np.int64)[:, None] + np.arange(size)  # (windows, size)
    cells = np.arange(len(starts))[:, None] * feature.size + feature.bins[rows]
    return np.bincount(cells.ravel(), minlength=len(starts) * feature.size).reshape(len(starts), feature.size)


class WindowDrift(NamedTuple):
    """The PSI of windows: of each of `Windows.starts` against all others of them, of those between against these."""

    tested: FloatArray
    between: FloatArray


def psi_of_windows(feature: Binned, windows: Windows) -> WindowDrift:
    """Return how far each window has drifted.

    Windows are held against the others rather than against the training data: so the newest one is treated as each of
    the others is.
    """
    counts = window_counts(feature, windows.starts, windows.size)
    shown = window_counts(feature, windows.between, windows.size)
    return WindowDrift(_psi(counts.sum(axis=0) - counts, counts), _psi(counts[:-1].sum(axis=0), shown))


def _psi(reference: IntArray, counts: IntArray) -> FloatArray:
    """Return the PSI of counts (windows, bins), or (bins,) that all are held against."""
    return psi(*(found / found.sum(axis=-1, keepdims=True) for found in (reference, counts)))
