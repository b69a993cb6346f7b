"""Files that are there whole or not at all."""

import secrets
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
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    aside.write_bytes(content)
    aside.replace(path)
