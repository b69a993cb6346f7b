"""What a flow does about kernels that are not compiled yet."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cachesim.compiled import nothing_is_cached
from flows.runtime import say

ROOT = Path(__file__).resolve().parents[1]
_at_work: "list[subprocess.Popen[bytes]]" = []


def say_if_compiling() -> bool:
    """Return whether no kernel is compiled yet, and say so: the first results then take a while."""
    if not nothing_is_cached():
        return False
    say("the kernels are compiled first: once for this version of the code, about half a minute")
    return True


@contextmanager
def kernels_on_the_way() -> Iterator[Callable[[], object]]:
    """Compile the kernels in another process, when none is compiled yet, while this one imports, reads and learns.

    They are kept for later processes. Inside of another such context it is the process of that one.

    Yields:
        a function that waits until they are compiled: the judgement at the end needs all of them.
    """
    if _at_work:
        yield _at_work[0].wait
        return
    if not say_if_compiling():
        yield lambda: None
        return
    compiler = subprocess.Popen(
        [sys.executable, "-m", "cachesim.warm"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _at_work.append(compiler)
    try:
        yield compiler.wait
    finally:
        _at_work.clear()
        compiler.terminate()
        compiler.wait()
