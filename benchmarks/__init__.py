"""Measurements of speed and quality, each with its command, its seed and its result.

Speeds are ratios measured side by side in one run. `python -m benchmarks.<name>` prints a table, with `--json` one JSON
object; `make bench` runs them all and writes RESULTS.md.
"""
