"""The fixtures of the flows' tests, for faults that need whole runs."""

from tests.flows.conftest import command_line, requests_parquet

__all__ = ["command_line", "requests_parquet"]
