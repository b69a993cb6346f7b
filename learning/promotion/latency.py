"""How long one decision of a bundle takes in TorchScript.

The time of the processor is measured, not that of the clock: on a machine that is busy with other things a decision
waits for its turn, now and then for milliseconds, and that says nothing of the policy.
"""

import time
from dataclasses import asdict, dataclass

import numpy as np

from learning.bundle.load import LoadedBundle
from learning.threads import one_thread

CALLS, WARM_UP_CALLS = 2_000, 200


@dataclass(frozen=True)
class Latency:
    """Of single decisions, in microseconds of one processor: the median, and what one in a hundred exceeds."""

    median_us: float
    p99_us: float

    def as_dict(self) -> dict[str, float]:
        """Return it as JSON."""
        return asdict(self)


def decision_latency(bundle: LoadedBundle, calls: int = CALLS) -> Latency:
    """Measure decisions on one thread of this machine, raw features in and scores out; the first ones do not count."""
    candidates = bundle.metadata.candidates
    rows = np.ones((candidates.use if candidates else 1, len(bundle.metadata.features)), np.float32)
    nanoseconds = np.empty(calls)
    with one_thread():
        for _ in range(WARM_UP_CALLS):
            bundle.scores(rows)
        for i in range(calls):
            started = time.thread_time_ns()
            bundle.scores(rows)
            nanoseconds[i] = time.thread_time_ns() - started
    median_us, p99_us = np.percentile(nanoseconds / 1000, (50, 99)).tolist()
    return Latency(median_us, p99_us)
