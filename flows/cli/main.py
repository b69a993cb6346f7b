"""The command line: lists the flows and the plain commands, reads the options of one, runs it and reports its result.

Options are checked before anything heavy is imported, so that a mistake is answered at once.
"""

import _thread
import contextlib
import json
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any, TextIO

from flows.cli.options import read_options, summary_line
from schemas.errors import ConfigError, ErsError
from schemas.options.evaluate import EvaluateConfig, ExportConfig
from schemas.options.monitor import MonitorConfig, RetrainConfig
from schemas.options.promote import HistoryConfig, PromoteConfig, ReconcileConfig, RollbackConfig
from schemas.options.simulate import SeedConfig, SimulateConfig
from schemas.options.sweep import SweepConfig
from schemas.options.train import (
    ColumnsConfig,
    CurveConfig,
    FlowConfig,
    IngestConfig,
    PreviewConfig,
    TrainConfig,
    ValidateConfig,
    nearest,
)

FLOWS: dict[str, type[FlowConfig]] = {
    "ingest": IngestConfig,
    "simulate": SimulateConfig,
    "seed": SeedConfig,
    "validate": ValidateConfig,
    "curve": CurveConfig,
    "train": TrainConfig,
    "sweep": SweepConfig,
    "promote": PromoteConfig,
    "rollback": RollbackConfig,
    "reconcile": ReconcileConfig,
    "monitor": MonitorConfig,
    "retrain": RetrainConfig,
    "evaluate": EvaluateConfig,
    "export": ExportConfig,
}
"""Each flow by name: module `flows.<name>` holds the flow `<name>` and `summary(result)`, its result as text."""

PLAIN: dict[str, type[FlowConfig]] = {"preview": PreviewConfig, "columns": ColumnsConfig, "history": HistoryConfig}
"""Each plain command by name, likewise; its function takes the config and is no flow, for it orchestrates nothing."""

COMMANDS = {**FLOWS, **PLAIN}
INTERRUPTED_STATUS = 130
RETRY_INTERRUPT_S = 0.1


def main(words: list[str]) -> int:
    """Run the command `words`; return the exit status: 0 done, 1 failed, 2 bad usage or input, 3 a gate said no."""
    try:
        if not words or words[0] in ("-h", "--help"):
            _write(_listing(), sys.stdout)
            return 0
        return _run(words[0], words[1:])
    except ErsError as error:
        _write(f"error: {' '.join(str(error).split())}", sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        _write("error: interrupted", sys.stderr)
        return INTERRUPTED_STATUS
    except Exception:
        traceback.print_exc()
        return 1


def _run(name: str, words: list[str]) -> int:
    if name not in COMMANDS:
        raise ConfigError(f"unknown flow {name!r}{nearest(name, list(COMMANDS))}")
    config, as_json = read_options(name, COMMANDS[name], words)
    from flows.engine import runtime

    run = runtime.run_plain if name in PLAIN else runtime.run_flow
    try:
        # Standard output is for the result, whatever libraries print.
        with _lasting_interrupts(), contextlib.redirect_stdout(sys.stderr):
            result, text = run(name, config)
    except ErsError as error:
        if error.result is not None:
            _show(error.result, error.text, as_json)
        raise
    _show(result, text, as_json)
    return 0


def _show(result: dict[str, Any], text: str, as_json: bool) -> None:
    _write(text, sys.stderr if as_json else sys.stdout)
    if as_json:
        _write(json.dumps(result, allow_nan=False), sys.stdout)


@contextlib.contextmanager
def _lasting_interrupts() -> Iterator[None]:
    """Interrupt again, a moment later, where Python met the interrupt in a finaliser and could not raise it."""
    usual = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            threading.Timer(RETRY_INTERRUPT_S, _thread.interrupt_main).start()
        else:
            usual(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual


def _listing() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary_line(config)}" for name, config in COMMANDS.items()]
    return "\n".join(
        ["usage: python -m flows FLOW [options]", "", *lines, "", "python -m flows FLOW --help lists its options."]
    )


def _write(text: str, stream: TextIO) -> None:
    stream.write(f"{text}\n")
    stream.flush()
