"""Runs all benchmarks and writes RESULTS.md: `python -m benchmarks`, or `make bench`."""

import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
COMMANDS = ("replay", "endless", "sampling", "history", "extract")
HEAD = """# Results

Written by `make bench`. Speeds depend on the machine, which each result names; the ratios were measured side by side.
"""


def main() -> None:
    """Run each benchmark in a process of its own; write the results when all have ended well."""
    sections = [HEAD]
    for name in COMMANDS:
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        sections.append(f"## {name}\n\n    python -m benchmarks.{name}\n\n{done.stdout}")
    aside = RESULTS.with_suffix(".new")
    aside.write_text("\n".join(sections))
    aside.replace(RESULTS)


if __name__ == "__main__":
    main()
