"""How the kernels of the policies are compiled: on first use, cached on disk, without Numba's reference counts."""

from numba import njit

# A kernel that allocates nothing needs no reference counts, and counting around each use of a state's arrays took two
# thirds of a replay's time (docs/decisions/0001). A kernel that does allocate then fails to compile: use njit for it.
kernel = njit(cache=True, _nrt=False)  # type: ignore[call-overload]
