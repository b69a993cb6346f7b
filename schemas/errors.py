"""The exceptions that a user may meet, each with the exit status of the command line.

    ErsError                  1  the run failed
    ├── InputError            2  bad usage or bad input
    │   ├── ConfigError          an option or setting has a value that cannot be used
    │   ├── SourceError          a file or a row of it cannot be read as requests
    │   └── TraceError           the requests that were read cannot be trained on
    │       └── UnfitError       they break expectations
    ├── GateError             3  a check said no; nothing was registered or promoted
    ├── ConflictError         1  another process is changing, or has changed, what this one was about to
    ├── BundleError           1  a bundle is incomplete, changed or does not do what its golden rows say
    ├── StorageError          1  a database or a registry cannot be reached or refuses the schema
    └── ServerError           1  a server that requests are sent to cannot be reached

A message says what was wrong, where (row, column, option), and how to mend it, on one line.
"""

from typing import Any


class ErsError(Exception):
    """Base of every error that is meant for the user rather than for a developer.

    Attributes:
        result: what a flow has to show all the same, as JSON; None = nothing.
        text: the same as text.
    """

    exit_status = 1

    def __init__(self, message: str, result: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.result = result
        self.text = ""


class InputError(ErsError):
    """Bad usage or bad input: nothing was written."""

    exit_status = 2


class ConfigError(InputError):
    """An option or setting has a value that cannot be used."""


class SourceError(InputError):
    """A file, or a row of it, cannot be read as requests."""


class TraceError(InputError):
    """The requests that were read cannot be trained on."""


class UnfitError(TraceError):
    """The requests that were read break expectations."""


class GateError(ErsError):
    """A check said no; nothing was registered or promoted."""

    exit_status = 3


class ConflictError(ErsError):
    """Another process is changing, or has changed, what this one was about to change: it may be tried again."""


class BundleError(ErsError):
    """A bundle is incomplete, changed, or does not do what its golden rows say."""


class StorageError(ErsError):
    """A database or a registry cannot be reached, or refuses the schema."""


class ServerError(ErsError):
    """A server that requests are sent to cannot be reached."""
