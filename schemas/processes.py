"""Tells a process from a later one with the same process id."""

import os
from pathlib import Path


def process_start(pid: int) -> str:
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
