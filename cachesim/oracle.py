"""What a recorded span knows of its own future."""

import numpy as np

from cachesim.compiled import kernel
from schemas.trace import IntArray

NEVER = 2**62  # stands for the index of a request that does not come; sums and differences with it fit int64


def next_request(key: IntArray, n_keys: int) -> IntArray:
    """Return the index of the next request of the same object, or NEVER.

    Args:
        key: shape (n,), object codes in [0, n_keys).
        n_keys: number of object codes.

    Returns:
        int64 (n,), each in (i, n) or NEVER.
    """
    following = np.empty(key.size, np.int64)
    _fill_backwards(key, np.full(n_keys, NEVER, np.int64), following)
    return following


@kernel
def _fill_backwards(key: IntArray, upcoming: IntArray, following: IntArray) -> None:
    for i in range(key.size - 1, -1, -1):
        following[i] = upcoming[key[i]]
        upcoming[key[i]] = i
