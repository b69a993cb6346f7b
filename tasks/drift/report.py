"""What a check for drift found, as people read it: lines, and a table in Markdown."""

from collections.abc import Iterator
from typing import Any

from tasks.drift.detect import FEATURES, HIT_RATIO

HEADINGS = ("", "now", "threshold", "p-value", "")
LABELS = {FEATURES: "PSI of {}", HIT_RATIO: "{}"}


def drift_lines(found: dict[str, Any]) -> list[str]:
    """Return what `tasks.drift.detect.Drift.as_dict` says, as aligned lines."""
    table = [HEADINGS, *_rows(found)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS))]
    lines = []
    if len(table) > 1:
        lines = [
            f"  {row[0]:<{widths[0]}}  "
            + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:4], widths[1:4], strict=True))
            + f"  {row[4]}".rstrip()
            for row in table
        ]
    return [*lines, *_sentences(found)]


def drift_markdown(found: dict[str, Any]) -> str:
    """Return the same in Markdown."""
    rows = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in _rows(found)]
    table = ["| statistic | now | threshold | p-value | verdict |", "|---|--:|--:|--:|---|", *rows, ""] if rows else []
    return "\n".join([*table, *(f"- {sentence}" for sentence in _sentences(found)), ""])


def drift_verdict(found: dict[str, Any]) -> str:
    """Return the verdict in a sentence."""
    if found["drifted"]:
        return f"drift in {', '.join(found['drifted_in'])}, from the data of {found['against']}"
    if not found["tested"]:
        reasons = dict.fromkeys(found["untold"].values())
        return f"whether there is drift cannot be told: {'; '.join(reasons)}"
    return f"no drift from the data of {found['against']}"


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for family, tested in found["tested"].items():
        for name, one in tested["statistics"].items():
            label = LABELS[family].format(name)
            label += f" ({tested['told_by']})" if "told_by" in tested else ""
            threshold = "-" if one["threshold"] is None else f"{one['threshold']:.4f}"
            verdict = "drifted" if name in tested["drifted"] else "as before"
            yield label, f"{one['value']:.4f}", threshold, f"{one['p_value']:.4f}", verdict


def _sentences(found: dict[str, Any]) -> Iterator[str]:
    yield _capital(drift_verdict(found)) + "."
    for family, tested in found["tested"].items():
        yield (
            f"{_capital(family)}: the newest {tested['window']:,} requests against {tested['reference_windows']:,} "
            f"windows of as many; by chance alone a check says drift {tested['false_alarm_rate']:.2%} of the time."
        )
    if found["tested"]:
        for family, why in found["untold"].items():
            yield f"{_capital(family)}: cannot be told: {why}."


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]
