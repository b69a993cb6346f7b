"""Names a process, so that what a killed one left behind can be told from what a live one is working on."""

import os
import re
import socket
from pathlib import Path


def current_owner() -> str:
    """Return this process as `host~pid~start`; start tells it from a later process with the same pid."""
    return f"{_host()}~{os.getpid()}~{_start(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Return whether `owner` ran on this host and has ended; False when that cannot be known."""
    parts = owner.split("~")
    if len(parts) != 3 or parts[0] != _host() or not parts[1].isdecimal():
        return False
    return _start(int(parts[1])) != parts[2]


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())


def _start(pid: int) -> str:
    """Return the start of process `pid` in clock ticks since boot, "up" where only its life is known, "" once ended."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if after_name[0] in "ZX" else after_name[19]
    except OSError:
        return "up" if not Path("/proc/self/stat").exists() and _responds(pid) else ""


def _responds(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
