"""File systems that are mounted for a test: small ones, and folders that nobody may write to."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def mount(*words: object) -> None:
    """Run `mount` with `words`.

    The test is skipped where mounting is refused, as it is to all but root; with ERS_REQUIRE_ALL=1 root's test fails.
    """
    done = subprocess.run(["mount", *map(str, words)], check=False, capture_output=True, text=True)
    if done.returncode:
        required = os.environ.get("ERS_REQUIRE_ALL") == "1" and os.geteuid() == 0
        (pytest.fail if required else pytest.skip)(f"no file system can be mounted here: {done.stderr.strip()}")


@contextmanager
def mounted(folder: Path, *words: object) -> Iterator[None]:
    """Mount on a folder what the words say, until the context ends, even if a file in it is still open."""
    mount(*words, folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Make a folder a file system in memory of a size such as "1m"."""
    with mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs"):
        yield


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write to the folder."""
    with mounted(folder, "--bind", folder):
        mount("-o", "remount,bind,ro", folder)
        yield
