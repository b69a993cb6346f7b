"""A folder to work in that outlives nobody: one that a killed process left goes when the next is made beside it."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from learning.owner import current_owner, is_gone

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
