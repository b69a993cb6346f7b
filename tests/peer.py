"""Whether libCacheSim is there, which has wheels for CPython 3.11 to 3.13 on Linux on x86 alone."""

import importlib.util

import pytest

needs_peer = pytest.mark.skipif(
    importlib.util.find_spec("libcachesim") is None, reason="libCacheSim has no wheel for this Python or platform"
)
