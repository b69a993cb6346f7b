"""Names a process, so that what a killed one left behind can be told from what a live one is working on."""

import os
import re
import socket

from support.processes import process_start


def current_owner() -> str:
    """Return this process as `host~pid~start`; start tells it from a later process with the same pid."""
    return f"{_host()}~{os.getpid()}~{process_start(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Return whether `owner` ran on this host and has ended; False when that cannot be known."""
    parts = owner.split("~")
    if len(parts) != 3 or parts[0] != _host() or not parts[1].isdecimal():
        return False
    return process_start(int(parts[1])) != parts[2]


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())
