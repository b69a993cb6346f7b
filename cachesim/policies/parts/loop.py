"""What Python calls of a policy, written once for all: the replay loop, and each kernel for one request at a time."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import bound_to, kernel
from cachesim.requests import Requests


class Steps(NamedTuple):
    """The kernels of a policy's module of the same names, for Python, which cannot call those themselves."""

    access: Any
    admit: Any
    remove: Any


def kernels_with(policy: dict[str, Any]) -> tuple[Any, Steps]:
    """Return the compiled replay loop and steps of a policy, given the globals of its module.

    The module has `access`, `admit` and `remove`. What is returned is bound to them by name, as if it stood in that
    module, see `compiled.bound_to`.
    """
    return _bound(_replay, policy), Steps(_bound(_access, policy), _bound(_admit, policy), _bound(_remove, policy))


def _bound(function: Any, policy: dict[str, Any]) -> Any:
    return kernel(bound_to(policy, function, policy["__name__"]))


def _replay(state: Any, requests: Requests, hit: NDArray[np.bool_]) -> None:
    """Serve requests in order; write to `hit` which ones hit."""
    for i in range(requests.key.size):
        hit[i] = access(state, requests, i)  # type: ignore[name-defined]  # noqa: F821
        if not hit[i]:
            admit(state, requests, i)  # type: ignore[name-defined]  # noqa: F821


def _access(state: Any, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    return access(state, requests, i)  # type: ignore[name-defined, no-any-return]  # noqa: F821


def _admit(state: Any, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    return admit(state, requests, i)  # type: ignore[name-defined, no-any-return]  # noqa: F821


def _remove(state: Any, key: int) -> None:
    """Take the resident `key` out."""
    remove(state, key)  # type: ignore[name-defined]  # noqa: F821
