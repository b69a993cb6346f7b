"""Callback types: functions through which long work reports metrics, progress and messages."""

from collections.abc import Callable

OnMetric = Callable[[str, float, int], None]
"""Takes the name of a metric, its value and the timesteps done so far."""

OnProgress = Callable[[int, int | None], None]
"""Takes what is done and what is to do; None = unknown."""

Say = Callable[[str], None]
"""Takes a message of one line."""
