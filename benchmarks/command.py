"""What the benchmarks' commands share: options, progress on stderr, a table or JSON on stdout, errors in one line."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from schemas.errors import ErsError


def main(
    description: str | None,
    add_options: Callable[[argparse.ArgumentParser], None],
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    table: Callable[[dict[str, Any]], str],
) -> None:
    """Run a benchmark as a command and exit: 0 done, 2 bad usage or a missing trace."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_options(parser)
    options = parser.parse_args()
    try:
        result = {"machine": machine(), **measure(options)}
    except ErsError as error:
        sys.exit(_report(error))
    print(json.dumps(result) if options.json else f"{result['machine']}\n\n{table(result)}")


def markdown(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table, the first column to the left and the others to the right."""
    lines = [names, ["---", *["--:"] * (len(names) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _report(error: ErsError) -> int:
    sys.stderr.write(f"error: {error}\n")
    return error.exit_status


def progress(text: str) -> None:
    """Say on stderr what is being measured."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def machine() -> str:
    """Return the processor, the number of cores, and the versions that matter."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("numba", "numpy"))
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open() as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
