"""What a flow does about kernels that are not compiled yet."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cachesim.compiled import nothing_is_cached
from cachesim.warm import PARTS
from flows.engine.runtime import say

ROOT = Path(__file__).resolve().parents[2]
_at_work: "list[subprocess.Popen[bytes]]" = []


def say_if_compiling() -> bool:
    """Return whether no kernel is compiled yet, and say so: the first results then take a while."""
    if not nothing_is_cached():
        return False
    say("the kernels are compiled first: once for this version of the code, about half a minute")
    return True


@contextmanager
def kernels_on_the_way() -> Iterator[Callable[[], object]]:
    """Compile the kernels in other processes, when none is compiled yet, while this one imports, reads and learns.

    They are kept for later processes. Inside of another such context these are the processes of that one.

    Yields:
        a function that waits until they are compiled: the judgement at the end needs all of them.
    """
    if _at_work:
        yield _await
        return
    if not say_if_compiling():
        yield lambda: None
        return
    try:
        for part in PARTS:
            _at_work.append(_compiler(part))
        yield _await
    finally:
        for compiler in _at_work:
            compiler.terminate()
        _await()
        _at_work.clear()


def _compiler(part: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "cachesim.warm", part],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _await() -> None:
    for compiler in _at_work:
        compiler.wait()
