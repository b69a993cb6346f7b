"""Compiling kernels in another process while this one learns: the judgement at the end needs those of all policies."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cachesim.compiled import nothing_is_cached
from flows.runtime import say

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def kernels_on_the_way() -> Iterator[Callable[[], object]]:
    """Compile the kernels of all policies meanwhile, when none is compiled yet. They are kept for later processes.

    Yields:
        a function that waits until they are compiled.
    """
    if not nothing_is_cached():
        yield lambda: None
        return
    say("the kernels are compiled first: once for this version of the code, about half a minute")
    compiler = subprocess.Popen(
        [sys.executable, "-m", "cachesim.warm"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield compiler.wait
    finally:
        compiler.terminate()
        compiler.wait()
