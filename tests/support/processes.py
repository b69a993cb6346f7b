"""Signals that end a run of the tests, and the processes that it has started."""

import os
import secrets
import signal
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import psutil

from infra.stack.children import environments

MARK = "PYTEST_RUN_OF_ERS"
"""A variable that all that a run starts inherits, in sessions and groups of their own too."""

END_TIMEOUT_S = 5.0


def take_signals(has_workers: bool) -> None:
    """End this process as by Ctrl+C on SIGINT, even if a shell has it ignored in the background, and on SIGTERM.

    Fixtures then end what they have started. To be called in the main thread, before anything is started.

    Args:
        has_workers: whether the children of this process run the tests; they get SIGTERM too.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        # A second one would cut off what ends. A function, for processes would inherit that a signal is ignored.
        signal.signal(signal.SIGTERM, lambda *_: None)
        for worker in psutil.Process().children() if has_workers else []:
            with suppress(psutil.NoSuchProcess):
                worker.terminate()
        raise KeyboardInterrupt

    os.environ.setdefault(MARK, secrets.token_hex(8))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, interrupt)


def end_all() -> list[str]:
    """End what still runs of what this run has started, itself not included; return the commands."""
    left, commands = [], []
    for process, variables in environments():
        with suppress(psutil.NoSuchProcess):
            if variables.get(MARK) == os.environ[MARK] and process.pid != os.getpid():
                commands.append(" ".join(process.cmdline()))
                process.terminate()
                left.append(process)
    _, alive = psutil.wait_procs(left, END_TIMEOUT_S)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, END_TIMEOUT_S)
    return commands
