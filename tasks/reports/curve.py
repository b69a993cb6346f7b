"""Miss-ratio curves as people look at them: a plot and the numbers, in a folder of their own."""

import hashlib
import json
from pathlib import Path
from typing import Any

from cachesim.analysis.bounds import PFOO
from cachesim.replay import BOUNDS
from support.atomic import write_atomically
from tasks.reports.figures import write_figure

NUMBERS, PLOT = "curve.json", "curve.png"
_COSTS = {
    "requests": "miss ratio",
    "bytes": "byte miss ratio",
    "load_time": "load time of the misses / load time of all",
}


def write_curves(reports: Path, result: dict[str, Any]) -> Path:
    """Write the numbers and the plot of a comparison, each whole or not at all; return their folder.

    The same comparison has the same folder, so that a repetition adds none.

    Args:
        reports: the folder of all reports; is made if need be.
        result: fields of `cachesim.analysis.comparison.Comparison`, `data` and the options, as JSON.
    """
    from matplotlib.figure import Figure

    numbers = json.dumps(result, indent=2, allow_nan=False).encode()
    folder = reports / f"curve-{hashlib.sha256(numbers).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / NUMBERS, numbers)
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    _draw(figure.subplots(), result)
    write_figure(folder / PLOT, figure)
    return folder


def _draw(axes: Any, result: dict[str, Any]) -> None:
    data, capacities = result["data"], result["capacities"]
    for number, (policy, ratios) in enumerate(result["miss_ratios"].items()):
        style = {"color": f"C{number % 10}", "linestyle": "-" if number < 10 else "--"}
        axes.plot(
            capacities,
            ratios,
            label=f"{policy} (knows the future)" if policy in (*BOUNDS, PFOO) else policy,
            marker="o",
            markersize=3,
            linewidth=1.4,
            **style,
        )
    sample = "" if result["key_sample"] == 1 else f", {result['key_sample']:g} of the keys"
    axes.set_title(
        f"{data['judged_requests']:,} requests, {data['distinct_keys']:,} distinct keys{sample}", fontsize=11
    )
    axes.set_xscale("log")
    axes.set_xlabel(f"capacity in {result['unit']}")
    axes.set_ylabel(_COSTS[result["measure"]])
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9)
