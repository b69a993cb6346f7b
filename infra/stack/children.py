"""Starts and ends the processes of the stack, with all that they started in turn."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.stack.place import Place, Record
from schemas.errors import ServerError
from support.processes import process_start

MARK = "ERS_STACK"
"""A variable that all that a part starts inherits: how its children are found when the part itself was killed."""

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = {"worker": 40.0}  # Prefect leaves a run 30 s after SIGTERM
USUAL_STOP_TIMEOUT_S = 10.0
POLL_S = 0.1
ERROR_LINE = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt)\b|error\b", re.IGNORECASE)
PASSWORD = re.compile(r"(?<=://)[^\s/@]*:[^\s@]*(?=@)")  # of an address, with the user
MAX_ERROR_CHARS = 300


@dataclass(frozen=True)
class Part:
    """A process to start.

    Attributes:
        name: one of `PARTS`.
        title: in a sentence.
        command: its words.
        variables: of its environment, beside those of this process.
        folder: its working directory.
        url: where it answers; of the worker, the server that it works for.
        answers: whether it does what it is there for.
        settings: a digest of the settings that it is started with.
    """

    name: str
    title: str
    command: Sequence[str]
    variables: Mapping[str, str]
    folder: Path
    url: str
    answers: Callable[[], bool]
    settings: str


def start(place: Place, part: Part, foreground: bool) -> "subprocess.Popen[bytes]":
    """Start a part and record it; its output goes to its log, in the foreground to standard output.

    It gets a session of its own, so that an interrupt from the keyboard is not for it.
    """
    log = place.log(part.name)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with log.open("wb") as out:
        process = subprocess.Popen(
            part.command,
            cwd=part.folder,
            env={**os.environ, **part.variables, MARK: _mark(place, part.name)},
            stdin=subprocess.DEVNULL,
            stdout=None if foreground else out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    place.write(part.name, Record(process.pid, process_start(process.pid), part.url, part.settings))
    return process


def wait(place: Place, part: Part) -> None:
    """Return once a part answers.

    Raises:
        ServerError: it ended, or did not answer in time; the message names its log, and of one that ended the error.
    """
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not part.answers():
        if not place.alive(part.name):
            reason = _last_error(place.log(part.name))
            raise ServerError(f"{part.title} ended before it answered{reason}; its log: {place.log(part.name)}")
        if time.monotonic() > deadline_s:
            raise ServerError(f"{part.title} did not answer in {START_TIMEOUT_S:g} s; its log: {place.log(part.name)}")
        time.sleep(POLL_S)


def _last_error(log: Path) -> str:
    """Return ": " and the last line of a log that names an error, else its last line; "" of an empty one."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if ERROR_LINE.match(line)]
    return "".join(f": {PASSWORD.sub('***', line)[:MAX_ERROR_CHARS]}" for line in (errors or lines)[-1:])


def stop(place: Place, name: str) -> bool:
    """End a part, orderly if it can, and what it has started; return whether there was anything to end."""
    record = place.alive(name)
    if record:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(record.pid).terminate()
        _await_end(record, STOP_TIMEOUT_S.get(name, USUAL_STOP_TIMEOUT_S))
    had_more = sweep(place, name)
    place.forget(name)
    return record is not None or had_more


def sweep(place: Place, name: str) -> bool:
    """Kill what is left of a part, itself included; return whether there was anything. Its port is free then."""
    left = found = list(_marked(_mark(place, name)))
    while left:
        for process in left:
            _kill(process)
        time.sleep(POLL_S)
        left = list(_marked(_mark(place, name)))
    return bool(found)


def _await_end(record: Record, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while record.is_alive and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    if record.is_alive:
        with suppress(psutil.NoSuchProcess):
            _kill(psutil.Process(record.pid))


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def _mark(place: Place, name: str) -> str:
    return f"{place.folder}:{name}"


def _marked(mark: str) -> Iterator[psutil.Process]:
    """Yield the processes that a part has started, itself included."""
    return (process for process, variables in environments() if variables.get(MARK) == mark)


def environments() -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """Yield each process of this machine that may be looked at, with the variables of its environment."""
    for process in psutil.process_iter():
        try:
            yield process, process.environ()
        except (psutil.Error, OSError):
            continue  # it ended meanwhile, or is another user's
