"""Compiles the kernels of all policies, for a process that will need them soon: `python -m cachesim.warm`."""

from cachesim.capacity import Capacity
from cachesim.replay import POLICIES, replay
from cachesim.synthetic import energy_trace


def compile_policies() -> None:
    """Replay a few requests with each policy, which compiles what is not in the cache of kernels yet."""
    trace = energy_trace(10, seed=0)
    for policy in POLICIES:
        replay(trace, policy, Capacity(2, "objects"))


if __name__ == "__main__":
    compile_policies()
