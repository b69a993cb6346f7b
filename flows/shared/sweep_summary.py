"""The result of `sweep` as text: each trial with what came of it, the best, and where to look."""

from typing import Any

from flows.shared.sweep_search import shown
from flows.shared.train_summary import where_to_look

STATES = {"complete": "complete", "pruned": "stopped early", "failed": "failed", "lost": "lost with their worker"}


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text: the table of trials, the best, and the paths to look at."""
    paths = [
        f"report  {result['report']}",
        f"look    {where_to_look(result['tracking_uri'])}, run {result['run_id']}",
    ]
    return "\n".join([outcome(result), "", *paths])


def outcome(result: dict[str, Any]) -> str:
    """Return what came of the trials as text: the table of them, and the best."""
    return "\n".join([*_heading(result), "", *_table(result), "", *map(_best, result["best"])])


def _heading(result: dict[str, Any]) -> list[str]:
    trials, data = result["trials"], result["data"]
    counts = {words: sum(one["state"] == state for one in trials) for state, words in STATES.items()}
    told = ", ".join(f"{count} {words}" for words, count in counts.items() if count)
    judged = round(result["validation_fraction"] * data["training_requests"])
    return [
        f"{len(trials)} trials of {result['decision']} by {result['algorithm']}: {told}.",
        f"Scores are hits of the last {judged:,} of {data['training_requests']:,} training requests, from which trials "
        "learned nothing:",
    ]


def _table(result: dict[str, Any]) -> list[str]:
    names = list(result["space"])
    rows = [["trial", "state", result["score"].removeprefix("validation "), *names]]
    order = sorted(result["trials"], key=lambda one: (one["size"], one["score"] is None, -(one["score"] or 0.0)))
    for one in order:
        score = "" if one["score"] is None else f"{one['score']:.4f}"
        rows.append([str(one["trial"]), STATES[one["state"]], score, *(shown(one["options"][name]) for name in names)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [
        line if not one or not one["reason"] else f"{line}  {one['reason']}"
        for line, one in zip(lines, [None, *order], strict=True)
    ]


def _best(best: dict[str, Any]) -> str:
    head = f"best    trial {best['trial']}, {best['score']:.4f}, size {best['size']}"
    trained = best["trained"]
    if trained is None:
        return f"{head}; not trained further"
    model, baseline = trained["model"], trained["best_baseline"]
    return (
        f"{head}; on held-out requests {trained['test']['value_ratio']:.4f}, "
        f"{baseline} {trained['baseline']['value_ratio']:.4f}\n"
        f"model   {model['name']} version {model['version']} (stage {model['stage']}), MLflow run {trained['run_id']}"
    )
