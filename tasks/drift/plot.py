"""The plot of a check for drift: each statistic over time, window by window, with the threshold."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from schemas.trace import IntArray
from tasks.drift.detect import FEATURES, Drift, Family, Statistic
from tasks.reports.figures import write_figure
from tasks.reports.plots import COLOURS

PLOT = "drift.png"
MOST_FEATURES = 6  # panels: of those that stand out the most
THRESHOLD_COLOUR, NEWEST_COLOUR = "#b2182b", "#e08214"


def plot_drift(folder: Path, found: Drift) -> Path:
    """Write the plot into `folder`, which is made if need be; return `folder`."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    panels = [(family, one) for family in found.families for one in _shown(family)]
    figure = Figure(figsize=(9, 1.0 + 1.7 * len(panels)), layout="constrained")
    figure.suptitle(f"The newest requests, and the data of {found.against}", fontsize=11)
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (family, one) in zip(all_axes, panels, strict=True):
        _draw(axes, family, one, found.timestamp_us)
    figure.legend(
        *all_axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9
    )
    all_axes[-1].set_xlabel("end of the window, UTC")
    write_figure(folder / PLOT, figure)
    return folder


def _shown(family: Family) -> list[Statistic]:
    return sorted(family.statistics, key=lambda one: one.p_value)[:MOST_FEATURES]


def _draw(axes: Any, family: Family, one: Statistic, timestamp_us: IntArray) -> None:
    windows = family.windows
    ends, between = (_ends(starts, windows.size, timestamp_us) for starts in (windows.starts, windows.between))
    style: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 2.5}
    axes.plot(ends[:-1], one.values[:-1], color=COLOURS["baseline"], label="compared with", **style)
    axes.plot(between, one.between, color=COLOURS["policy"], label="later", **style)
    axes.plot(ends[-1:], one.values[-1:], color=NEWEST_COLOUR, label="newest", linestyle="", marker="D", markersize=6)
    if one.threshold is not None:
        axes.axhline(one.threshold, color=THRESHOLD_COLOUR, linewidth=1.0, linestyle="--", label="threshold")
    name = f"PSI of {one.name}" if family.name == FEATURES else f"{one.name} ({family.told_by})"
    axes.set_title(f"{name}: {one.values[-1]:.4f}, p = {one.p_value:.4f}", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", labelsize=8)


def _ends(starts: tuple[int, ...], size: int, timestamp_us: IntArray) -> list[datetime]:
    last = np.asarray(starts, np.int64) + size - 1
    return [datetime.fromtimestamp(us / 1e6, UTC) for us in timestamp_us[last].tolist()]
