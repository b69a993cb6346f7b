"""Mark for tests that need libCacheSim, which has wheels for few machines only: tests/requirements-peer.txt."""

import importlib.util
import os
import sys

import pytest

_missing = importlib.util.find_spec("libcachesim") is None
_may_be_missing = os.environ.get("ERS_REQUIRE_ALL") != "1" or sys.version_info >= (3, 14)

needs_peer = pytest.mark.skipif(_missing and _may_be_missing, reason="libCacheSim is not installed")
