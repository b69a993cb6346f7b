"""Atomic writes: write to a temporary file or directory beside the target, then rename it.

The temporary name holds the process that writes it, so that leftovers of killed processes can be removed.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import StorageError
from support.process_owner import current_owner, is_gone

TEMPORARY_PREFIX = ".temporary-"


@contextmanager
def temporary_directory(parent: Path) -> Iterator[Path]:
    """Yield a new directory in `parent`, which is removed at the end with what is left in it."""
    parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(parent)
    directory = _temporary(parent)
    directory.mkdir()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Yield where to write a file; it replaces `path` at the end, or is removed when an exception ends the writing."""
    temporary = _temporary(path.parent)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file by way of a temporary one."""
    with temporary_file(path) as temporary:
        temporary.write_bytes(content)


def remove_leftovers(parent: Path) -> None:
    """Remove the temporary files and directories in `parent` whose process has ended."""
    for leftover in parent.glob(f"{TEMPORARY_PREFIX}*"):
        if is_gone(leftover.name.partition("~")[2]):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a directory, are on the disk.

    Windows opens no directories: there this returns at once.
    """
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Raise an OSError as a StorageError that names its file, or `path` where it has none."""
    try:
        yield
    except OSError as error:
        place = error.filename or path
        raise StorageError(
            f"{place} cannot be written: {error.strerror or error}; mend that, then try again"
        ) from error


def _temporary(parent: Path) -> Path:
    return parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}~{current_owner()}"
