"""Figures of reports as PNG files."""

from io import BytesIO
from pathlib import Path
from typing import Any

from support.atomic import write_atomically


def write_figure(path: Path, figure: Any) -> None:
    """Write a matplotlib figure as a PNG."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_atomically(path, content.getvalue())
