"""The plots of a training run: who scores what, when, and how the training went."""

from collections.abc import Iterator
from typing import Any

import numpy as np

BAR_INCHES = 0.25
CURVES_A_ROW = 3
LEARNED = "learned"  # what the policy is called as it was trained, beside its variants
Curves = dict[str, list[tuple[int, float]]]  # name -> (timesteps done, value)
COLOURS = {"policy": "#1b7837", "baseline": "#b3b3b3", "best": "#5f5f5f", "bound": "#4575b4"}
VARIANT_COLOURS = ("#e08214", "#7b3294", "#01a0a8", "#c51b7d")
_MEASURE_LABELS = {"hit_ratio": "hit ratio", "value_ratio": "value of the hits / value of all"}
_CURVE_LABELS = {
    "reward": "mean reward of a decision",
    "loss": "loss",
    "training_hit_ratio": "hit ratio on the training span",
    "validation_hit_ratio": "hit ratio on its validation part",
    "validation_value_ratio": "value ratio on its validation part",
}


def learned_name(algorithm: str, variant: str = LEARNED) -> str:
    """Return what the learned policy, or a variant of it, is called in tables and plots."""
    return f"{algorithm} ({variant})"


def scores_inches(evaluation: dict[str, Any]) -> float:
    """Return the height that `draw_scores` needs."""
    return 1.8 + BAR_INCHES * len(list(_policies("", evaluation)))


def _policies(algorithm: str, evaluation: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield name, label, colour and score of each policy."""
    test, best = evaluation["test"], evaluation["best_baseline"]
    yield "policy", learned_name(algorithm), COLOURS["policy"], test["policy"]
    for number, (name, score) in enumerate(test["variants"].items()):
        yield name, learned_name(algorithm, name), VARIANT_COLOURS[number % len(VARIANT_COLOURS)], score
    for name, score in test["baselines"].items():
        yield name, name, COLOURS["best" if name == best else "baseline"], score
    for name, score in test["bounds"].items():
        yield name, f"{name} (knows the future)", COLOURS["bound"], score


def draw_scores(figure: Any, algorithm: str, evaluation: dict[str, Any]) -> None:
    """Draw bars by what a hit is worth; where that is not the same for each hit, the hit ratio beside it.

    Whiskers show the 95 % interval of the difference to the best baseline: one that clears the line is clear.
    """
    rows = sorted(_policies(algorithm, evaluation), key=lambda row: row[3]["value_ratio"] or 0.0)
    weighted = any(score["value_ratio"] != score["hit_ratio"] for *_, score in rows)
    measures = ("value_ratio", "hit_ratio") if weighted else ("hit_ratio",)
    requests, best = evaluation["test"]["policy"]["requests"], evaluation["best_baseline"]
    figure.suptitle(
        f"On the {requests:,} held-out requests; whiskers: 95 % interval of the difference to {best}", fontsize=11
    )
    for axes, measure in zip(figure.subplots(1, len(measures), sharey=True, squeeze=False)[0], measures, strict=True):
        _draw_bars(axes, rows, measure, len(measures))
        _draw_whiskers(axes, [name for name, *_ in rows], evaluation, measure)
        axes.set_xlabel(_MEASURE_LABELS[measure])
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.01)


def _draw_bars(axes: Any, rows: list[tuple[str, str, str, dict[str, Any]]], measure: str, panels: int) -> None:
    values = [score[measure] or 0.0 for *_, score in rows]
    axes.barh([label for _, label, *_ in rows], values, color=[colour for *_, colour, _ in rows])
    room = max(values) or 1.0
    axes.set_xlim(0, (1.02 + 0.11 * panels) * room)
    for row, value in enumerate(values):  # in a column of their own, clear of the whiskers
        axes.text((1.01 + 0.11 * panels) * room, row, f"{value:.4f}", va="center", ha="right", fontsize=9)


def _draw_whiskers(axes: Any, names: list[str], evaluation: dict[str, Any], measure: str) -> None:
    test, best = evaluation["test"], evaluation["best_baseline"]
    reference = test["baselines"][best][measure]
    axes.axvline(reference, color=COLOURS["best"], linewidth=0.9, linestyle=":")
    for name, others in test["comparisons"].items():
        found = others[best][measure]
        if found["low"] is None:
            continue
        low, high = (reference + found[end] for end in ("low", "high"))
        axes.plot([low, high], [names.index(name)] * 2, color="black", linewidth=1.1, marker="|", markersize=7)


def draw_timeline(figure: Any, algorithm: str, evaluation: dict[str, Any]) -> None:
    """Draw the value ratios of the learned policy, its variants, the best baseline and LRU over the held-out span.

    Below, by how much each exceeds the best baseline in each window.
    """
    timeline, best = evaluation["timeline"], evaluation["best_baseline"]
    edges = np.array(timeline["edges"])
    ratios = {name: np.array(found, float) for name, found in timeline["value_ratios"].items()}  # None -> NaN
    drawn = [row for row in _policies(algorithm, evaluation) if row[0] in ratios]
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for name, label, colour, score in reversed(drawn):  # the learned policy last, on top
        style = {"color": colour, "linewidth": 2.0 if name == "policy" else 1.3}
        upper.plot((edges[:-1] + edges[1:]) / 2, ratios[name], label=f"{label}  {score['value_ratio']:.4f}", **style)
        lower.plot((edges[:-1] + edges[1:]) / 2, ratios[name] - ratios[best], **style)
    weighted = any(score["value_ratio"] != score["hit_ratio"] for *_, score in drawn)
    upper.set_ylabel("value ratio" if weighted else "hit ratio")
    figure.legend(reverse=True, loc="outside upper center", ncols=3, frameon=False)
    lower.set_ylabel(f"difference to {best}")
    lower.set_xlabel(f"request; each window is {round(float(np.diff(edges).mean())):,} of them")
    lower.set_xlim(edges[0], edges[-1])
    lower.xaxis.set_major_formatter("{x:,.0f}")
    for axes in (upper, lower):
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)


def curves_inches(curves: Curves) -> float:
    """Return the height that `draw_curves` needs."""
    return 0.5 + 3.0 * -(-len(curves) // CURVES_A_ROW)


def draw_curves(figure: Any, algorithm: str, curves: Curves) -> None:
    """Draw what the training reported, a panel a curve."""
    from matplotlib.ticker import EngFormatter

    known = {name: points for name, points in curves.items() if points}
    last_step = max((points[-1][0] for points in known.values()), default=1)
    figure.suptitle(f"Training of {algorithm}", fontsize=11)
    columns = min(len(known), CURVES_A_ROW)
    panels = figure.subplots(-(-len(known) // CURVES_A_ROW), columns, squeeze=False).flatten()
    for unused in panels[len(known) :]:
        unused.remove()
    for axes, (name, points) in zip(panels, known.items(), strict=False):
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, color=COLOURS["policy"], linewidth=1.2, marker="o" if len(steps) < 20 else "")
        axes.set_title(_CURVE_LABELS.get(name, name), fontsize=10)
        axes.set_xlabel("timesteps")
        axes.set_xlim(-0.03 * last_step, 1.03 * last_step)  # the same for all, also where a curve has one point
        axes.locator_params(axis="x", nbins=4)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.spines[["top", "right"]].set_visible(False)
