"""The error of a part that ended early is found in its log."""

from pathlib import Path

import pytest

from infra.stack.children import _last_error


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", ""),
        ("starting\n\nlistening \n", ": listening"),
        ("Traceback:\n  File x\nOSError: [Errno 13] no\nAn exception occurred.", ": OSError: [Errno 13] no"),
        ("sqlalchemy.exc.ArgumentError: (2003) no\n(Background: here)", ": sqlalchemy.exc.ArgumentError: (2003) no"),
        ("ValueError: mysql://me:pa:ss@host/db", ": ValueError: mysql://***@host/db"),
        ("x" * 999, ": " + "x" * 300),
    ],
)
def test_the_last_error_of_a_log_is_its_last_line_that_names_one(log: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(log)
    assert _last_error(tmp_path / "log") == expected
