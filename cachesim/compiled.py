"""How the kernels are compiled: on first use, cached on disk, and anew after any change of this package.

Numba notices a change of a kernel's own file, not of the kernels that it calls from others. So the cache lies in a
folder that is named by the sources of the whole package.
"""

import hashlib
from pathlib import Path
from types import FunctionType
from typing import Any

from numba import config, njit

_PACKAGE = Path(__file__).parent


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(_PACKAGE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


CODE_FINGERPRINT = _fingerprint()
"""Changes with the sources of the simulator: results that are kept are keyed by it."""

_cache_root = getattr(config, "CACHE_DIR", "") or _PACKAGE / "__pycache__"  # NUMBA_CACHE_DIR, when it is set
_CACHE = Path(_cache_root) / f"kernels-{CODE_FINGERPRINT}"
_numba: Any = config  # an untyped module
_numba.CACHE_DIR = str(_CACHE)
# LLVM's third level compiles an eighth longer than the second, and the policies replay no faster.
_numba.OPT = type(_numba.OPT)(2)

# A kernel that allocates nothing needs no reference counts, and counting around each use of a state's arrays took two
# thirds of a replay's time (docs/decisions/0001). A kernel that does allocate then fails to compile. Kernels are put
# into each other inline: a call that hands over a state copies every pointer and length in it.
kernel = njit(cache=True, _nrt=False, forceinline=True)  # type: ignore[call-overload]
# A kernel that is called rather than put into others: for loops around whole policies, which take long to compile.
outlined_kernel = njit(cache=True, _nrt=False)  # type: ignore[call-overload]
allocating_kernel = njit(cache=True)
# A kernel that only kernels call needs no wrapper for Python. The wrapper unpacks each array of a state, and compiling
# that takes many times as long as a small kernel itself. A call from Python would crash it.
inner_kernel = njit(cache=True, _nrt=False, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[call-overload]
# A kernel whose sums may be taken in any order, and products added without rounding in between, so that they run in
# vectors: more than twice as fast, and the same on every run; the last digits depend on the processor.
vector_kernel = njit(cache=True, _nrt=False, forceinline=True, fastmath={"contract", "reassoc"})  # type: ignore[call-overload]


def nothing_is_cached() -> bool:
    """Return whether no kernel of these sources was compiled before, so that the first calls will take a while."""
    return not any(_CACHE.rglob("*.nbi"))


def bound_to(names: dict[str, Any], function: Any, owner: str) -> Any:
    """Return a copy of a plain function that finds `names` as its globals, as if it stood in their module.

    Compiled, it calls the kernels among them. Numba's cache on disk would not find a closure over kernels again: every
    process would compile it anew. `owner` tells its file there from those of other copies.
    """
    bound = FunctionType(function.__code__, names, function.__name__)
    bound.__qualname__ = f"{owner}.{function.__name__}"
    bound.__doc__ = function.__doc__
    return bound
