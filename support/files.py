"""Files that are there whole or not at all."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any


def write_figure(path: Path, figure: Any) -> None:
    """Write a matplotlib figure as a PNG."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_whole(path, content.getvalue())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside, then put it in its place."""
    with aside(path) as place:
        place.write_bytes(content)


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Yield where to write a file; it takes its place at the end, or goes when an exception ends the writing."""
    place = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield place
        place.replace(path)
    finally:
        place.unlink(missing_ok=True)
