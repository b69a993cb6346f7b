"""What the environments run on when they are not told."""

from cachesim.capacity import Capacity
from cachesim.objective import request_values
from cachesim.traffic.energy import energy_trace
from schemas.trace import FloatArray, Trace

DEFAULT_REQUESTS = 20_000


def problem_of(
    trace: Trace | None, capacity: Capacity | None, weights: dict[str, float] | None
) -> tuple[Trace, Capacity, FloatArray]:
    """Return the requests, the capacity, and what a hit on each request is worth, float64 (n,).

    Args:
        trace: None = synthetic requests of an energy data API.
        capacity: None = 1 % of the distinct keys.
        weights: what a hit is worth, column to weight; None = every hit counts 1.
    """
    trace = energy_trace(DEFAULT_REQUESTS, seed=0) if trace is None else trace
    capacity = Capacity.resolve(trace) if capacity is None else capacity
    return trace, capacity, request_values(trace, len(trace), weights or {})
