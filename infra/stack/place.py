"""Where the stack keeps what it knows of its processes, and the lock under which it changes."""

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from schemas.errors import StorageError
from support.processes import process_start

PREFECT, MLFLOW, WORKER = "prefect", "mlflow", "worker"
PARTS = (PREFECT, MLFLOW, WORKER)
"""The processes of the stack in the order in which they start; they end in the reverse one."""


@dataclass(frozen=True)
class Record:
    """A process that was started: its id with its start, which no other process shares, and its address.

    Attributes:
        url: where it answers; of the worker, the server that it works for.
        settings: a digest of the settings that it was started with.
    """

    pid: int
    start: str
    url: str
    settings: str

    @property
    def is_alive(self) -> bool:
        """Whether the very process still runs."""
        return bool(self.start) and process_start(self.pid) == self.start


class Place:
    """The folder `<home>/stack`: for each part its record and its log.

    Attributes:
        home: folder of all state, absolute.
        folder: that of the stack.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.folder = self.home / "stack"

    def make(self) -> None:
        """Make the folder; StorageError when that, or writing into it, is not allowed."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "lock").touch()
        except OSError as error:
            raise StorageError(
                f"ERS_HOME {self.home} cannot be written ({error.strerror}: {error.filename}): choose another folder"
            ) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the stack, which ends with the process that holds it; wait for another that does."""
        lock = FileLock(self.folder / "lock")
        try:
            held = lock.acquire(blocking=False)
        except Timeout:
            say("another command is changing the stack: waiting for it ...")
            held = lock.acquire()
        with held:
            yield

    @contextlib.contextmanager
    def upgrading(self) -> Iterator[None]:
        """Hold the lock under which the database of a Prefect server is made; flows without a server take it too."""
        folder = self.home / "prefect"
        folder.mkdir(exist_ok=True)
        with FileLock(folder / "upgrade.lock"):
            yield

    def log(self, part: str) -> Path:
        """Return the path of the log of a part."""
        return self.folder / f"{part}.log"

    def last(self, part: str) -> Record | None:
        """Return the record of the process that was started last as `part`, dead or alive; None when there is none."""
        try:
            return Record(**json.loads(self._record(part).read_text()))
        except (OSError, ValueError, TypeError):  # of another version, or cut off by a full disk
            return None

    def alive(self, part: str) -> Record | None:
        """Return the record of a part that runs."""
        last = self.last(part)
        return last if last and last.is_alive else None

    def write(self, part: str, record: Record) -> None:
        """Keep the record of a part; it appears whole."""
        aside = self._record(part).with_suffix(".aside")
        aside.write_text(json.dumps(asdict(record)))
        aside.replace(self._record(part))

    def forget(self, part: str) -> None:
        """Remove the record of a part."""
        self._record(part).unlink(missing_ok=True)

    def _record(self, part: str) -> Path:
        return self.folder / f"{part}.json"


def say(text: str) -> None:
    """Write a line on what is going on to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
