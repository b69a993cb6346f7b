"""The replay loop, written once for all policies."""

from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import kernel
from cachesim.requests import Requests


def replay_with(policy: dict[str, Any]) -> Any:
    """Return the compiled replay loop of a policy, given the globals of its module, which has `access` and `admit`.

    The loop is bound to them by name, as if it stood in that module. Numba's cache on disk would not find a closure
    over two kernels again: every process would compile it anew.
    """
    loop = FunctionType(_replay.__code__, policy, "replay")
    loop.__qualname__ = f"{policy['__name__']}.replay"  # names the file in the cache
    loop.__doc__ = _replay.__doc__
    return kernel(loop)


def _replay(state: Any, requests: Requests, hit: NDArray[np.bool_]) -> None:
    """Serve requests in order; write to `hit` which ones hit."""
    for i in range(requests.key.size):
        hit[i] = access(state, requests, i)  # type: ignore[name-defined]  # noqa: F821
        if not hit[i]:
            admit(state, requests, i)  # type: ignore[name-defined]  # noqa: F821
