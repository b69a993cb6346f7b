"""Folders that appear whole: written aside, to disk, in one that goes when its process is found to have been killed."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.process_owner import current_owner, is_gone

WORK_PREFIX = ".bundle-"


@contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in `parent` that is named after this process, and remove what is left of it."""
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{WORK_PREFIX}*"):
        if is_gone(left.name.partition("~")[2]):
            shutil.rmtree(left, ignore_errors=True)
    work = parent / f"{WORK_PREFIX}{secrets.token_hex(4)}~{current_owner()}"
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def sync(path: Path) -> None:
    """Wait until a file, or what a folder lists, is on the disk. Windows opens no folders: there nothing waits."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
