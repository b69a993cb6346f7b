"""The trials of a sweep as people look at them: a table, and a plot of the scores over each option."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas.options.space import Axis, Choices, Space, written
from support.atomic import write_atomically
from tasks.reports.figures import write_figure

TABLE, PLOT = "trials.csv", "trials.png"
PANELS_A_ROW = 3


def write_sweep_report(folder: Path, space: Space, trials: Sequence[dict[str, Any]], label: str) -> Path:
    """Write the table and the plot to `folder`, each whole; return it.

    Args:
        folder: is made if need be.
        space: what was varied.
        trials: of the result of the flow: trial, size, options, state, score and so on.
        label: of the score.
    """
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / TABLE, _table(space, trials).encode())
    rows, columns = _grid(space)
    figure = Figure(figsize=(3.6 * columns + 0.6, 3.1 * rows + 0.6), layout="constrained")
    draw_trials(figure, space, trials, label)
    write_figure(folder / PLOT, figure)
    return folder


def _table(space: Space, trials: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "size", "state", "score", *space, "seconds", "run_id", "reason"])
    for one in trials:
        options = [written(one["options"].get(name)) for name in space]
        found = [
            one["trial"],
            one["size"],
            one["state"],
            one["score"],
            *options,
            one["seconds"],
            one["run_id"],
            one["reason"],
        ]
        writer.writerow(["" if value is None else value for value in found])
    return text.getvalue()


def draw_trials(figure: Any, space: Space, trials: Sequence[dict[str, Any]], label: str) -> None:
    """Draw the scores over each option, a panel each; those that were stopped early hollow, a colour for each size."""
    panels = figure.subplots(*_grid(space), sharey=True, squeeze=False).flatten()
    for unused in panels[len(space) :]:
        unused.remove()
    sizes = list(dict.fromkeys(one["size"] for one in trials))
    known = [one for one in trials if one["score"] is not None]
    for axes, (name, axis) in zip(panels, space.items(), strict=False):
        _draw_axis(axes, name, axis)
        for one in known:
            colour = f"C{sizes.index(one['size']) % 10}"
            face = colour if one["state"] == "complete" else "none"
            at = _position(axis, one["options"][name])
            axes.scatter([at], [one["score"]], s=28, facecolors=face, edgecolors=colour, linewidths=1.1, zorder=3)
    for axes in panels[: len(space) : PANELS_A_ROW]:
        axes.set_ylabel(label)
    _explain(figure, sizes)


def _grid(space: Space) -> tuple[int, int]:
    """Return rows and columns of panels, one for each option."""
    panels = max(len(space), 1)
    return math.ceil(panels / PANELS_A_ROW), min(panels, PANELS_A_ROW)


def _draw_axis(axes: Any, name: str, axis: Axis) -> None:
    axes.set_xlabel(name)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if isinstance(axis, Choices):
        axes.set_xticks(range(len(axis.values)), list(axis.values))
        axes.set_xlim(-0.5, len(axis.values) - 0.5)
        return
    middle, margin = (axis.low + axis.high) / 2, 0.05 * (axis.high - axis.low)
    axes.set_xlim(axis.low - margin, axis.high + margin)
    if axis.by_logarithm:
        axes.set_xscale("log")
        middle, margin = math.sqrt(axis.low * axis.high), (axis.high / axis.low) ** 0.05
        axes.set_xlim(axis.low / margin, axis.high * margin)
    axes.set_xticks([axis.low, middle, axis.high], [f"{at:.2g}" for at in (axis.low, middle, axis.high)])
    axes.minorticks_off()


def _position(axis: Axis, value: Any) -> float:
    return list(axis.values.values()).index(value) if isinstance(axis, Choices) else float(value)


def _explain(figure: Any, sizes: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    dot: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 5.5}
    shown = [Line2D([], [], color=f"C{i % 10}", label=size, **dot) for i, size in enumerate(sizes)] if sizes[1:] else []
    shown.append(Line2D([], [], color="black", label="complete", **dot))
    shown.append(
        Line2D([], [], color="black", markerfacecolor="none", label="stopped early, the best until then", **dot)
    )
    figure.legend(handles=shown, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
