"""Folders that tasks work in, whose failures name the place."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import StorageError
from support import atomic as learning_folder


@contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in `parent`, see `support.atomic`; StorageError where a file cannot be written."""
    with writing(parent), learning_folder.work_folder(parent) as work:
        yield work


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raise what fails meanwhile as StorageError, which names the file, or `folder` where none is known."""
    try:
        yield
    except OSError as error:
        place = error.filename or folder
        raise StorageError(
            f"{place} cannot be written: {error.strerror or error}; mend that, then try again"
        ) from error
