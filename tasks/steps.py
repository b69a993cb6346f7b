"""Steps: the points at which one of the pipeline's stores has just been changed, by name; and the log of a run.

Each step is a line of the logger "ers.steps". The tests of faults read the names out of the code, and kill a process
with SIGKILL at each.
"""

import logging

LOGGER = logging.getLogger("ers.steps")
RUN_LOG = logging.getLogger("ers.run")  # what Prefect shows as the log of a run, beside its own lines


def step_done(name: str) -> None:
    """Tell that a step is done; `name` is a literal, "operation: what was changed"."""
    LOGGER.info(name)
