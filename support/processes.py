"""Tells a process from a later one with the same process id."""

import psutil


def process_start(pid: int) -> str:
    """Return the start of process `pid` in seconds, to the hundredth; "" once it has ended.

    On Linux the seconds count from the boot, so that they stay the same when the clock is set; elsewhere from 1970.
    """
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return ""
        start_s = process.create_time() - (psutil.boot_time() if psutil.LINUX else 0.0)
    except psutil.NoSuchProcess:
        return ""
    return f"{start_s:.2f}"
