"""The result of `train` as text: the scores, the verdict with its intervals, where to look. `evaluate` shares most."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from learning.problem import CacheProblem
from tasks.plots import learned_name

MEASURES = ("hit_ratio", "byte_hit_ratio", "saved_load_time_ratio")
NO_INTERVAL = "the held-out requests are too few, or those on which the two differ, to tell how sure that is"


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text: the table of scores, the verdict, and the paths to look at."""
    verdict = [*verdict_lines(result), *_staleness(result), *_seeds(result)]
    return "\n".join([_heading(result), "", *table_lines(result), "", *verdict, "", *_paths(result)])


def shown_problem(problem: CacheProblem) -> dict[str, Any]:
    """Return what the result of a flow says of a problem: the cache, the decision, and the columns that are read."""
    setting = problem.setting
    return {
        "cache": {problem.served_capacity.unit: problem.served_capacity.limit},
        "decision": {
            "name": setting.decision if setting else "eviction",
            "eviction": setting.eviction if setting else None,
            "staleness_weight": problem.staleness_weight,
        },
        "feature_columns": list(problem.feature_columns),
    }


def cache_words(result: dict[str, Any]) -> str:
    """Return which cache was judged, as the end of a sentence."""
    unit, limit = next(iter(result["cache"].items()))
    return f"cache of {limit:,} {unit}{_sample(result)}{_decision(result['decision'])}"


def _heading(result: dict[str, Any]) -> str:
    data = result["data"]
    held_out = data["requests"] - data["training_requests"]
    return (
        f"Scores on the last {held_out:,} of {data['requests']:,} requests ({data['distinct_keys']:,} distinct keys), "
        f"{cache_words(result)}:"
    )


def _decision(decision: dict[str, Any]) -> str:
    if decision["name"] == "eviction":
        return ""
    weight = f", staleness weight {decision['staleness_weight']:g}" if decision["name"] == "ttl" else ""
    return f", decision {decision['name']} with eviction by {decision['eviction']}{weight}"


def _sample(result: dict[str, Any]) -> str:
    return "" if result["key_sample"] == 1 else f", scaled down to {result['key_sample']:g} of the keys"


def table_lines(result: dict[str, Any]) -> list[str]:
    """Return a line a policy: its measures, what decides among them last, and the share of the gap that it closes."""
    measures = [*MEASURES]
    if result["test"]["policy"]["stale_ratio"] is not None:
        measures.append("stale_ratio")
    if result["cache_weights"] or result["decision"]["staleness_weight"]:
        measures.append("value_ratio")
    headings = [*(measure.replace("_", " ") for measure in measures), "gap closed"]
    rows = [("policy", headings)]
    for name, label, score in _policies(result):
        ratios = ["-" if score[measure] is None else f"{score[measure]:.4f}" for measure in measures]
        rows.append((label, [*ratios, _share(result["gaps_closed"].get(name))]))
    width = max(len(label) for label, _ in rows)
    lines = [
        f"  {label:<{width}}  " + "  ".join(f"{cell:>{len(head)}}" for cell, head in zip(cells, headings, strict=True))
        for label, cells in rows
    ]
    return [line.rstrip() for line in lines]


def _policies(result: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield name, label and score of each policy: the learned ones, the baselines from the best on, the bounds."""
    test, algorithm = result["test"], result["algorithm"]
    yield "policy", learned_name(algorithm), test["policy"]
    for name, score in test["variants"].items():
        yield name, learned_name(algorithm, name), score
    for name, score in sorted(test["baselines"].items(), key=lambda row: row[1]["value_ratio"], reverse=True):
        yield name, name, score
    for name, score in test["bounds"].items():
        yield name, f"{name} (knows the future)", score


def _share(closed: float | None) -> str:
    return "" if closed is None else f"{closed:.1%}"


def verdict_lines(result: dict[str, Any]) -> list[str]:
    """Return a sentence for each comparison, and for each share of the gap that is closed."""
    best, gaps = result["best_baseline"], result["gaps_closed"]
    reference = "LRU" if result["reference"] == "lru" else result["reference"]
    lines = []
    for name, others in result["test"]["comparisons"].items():
        who = "the learned policy" if name == "policy" else f"the {name} policy"
        lines += [_compared(who, _whom(other, best), found["value_ratio"]) for other, found in others.items()]
        if gaps[name] is not None:
            lines.append(
                f"{_capital(who)} closes {gaps[name]:.1%} of the gap from {reference} to the bound, {result['bound']}."
            )
    return lines


def _whom(other: str, best: str) -> str:
    return {best: f"the best baseline in hindsight, {best}", "policy": "the learned policy"}.get(other, other)


def _compared(who: str, whom: str, found: dict[str, Any]) -> str:
    """Return a sentence that claims no more than the interval allows."""
    difference, low, high = found["difference"], found["low"], found["high"]
    if low is None:
        return f"{_capital(who)} is at {difference:+.4f} of {whom}: {NO_INTERVAL}."
    numbers = f"{difference:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}"
    if low > 0:
        return f"{_capital(who)} beats {whom}: {numbers}."
    if high < 0:
        return f"{_capital(who)} does not beat {whom}, it is worse: {numbers}."
    return f"No clear difference between {who} and {whom}: {numbers}."


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _staleness(result: dict[str, Any]) -> list[str]:
    """Say whether the times to live of `hybrid` kept to the budget on later requests."""
    found = result["staleness"]
    if found is None:
        return []
    shares = {name: one["stale_ratio"] for name, one in found["by_endpoint"].items() if one["stale_ratio"] is not None}
    if not shares:
        return [f"Staleness budget {found['budget']:g}: no endpoint has a hit with the times to live that keep to it."]
    worst = max(shares, key=shares.__getitem__)
    kept = sum(share <= found["budget"] for share in shares.values())
    return [
        f"Staleness budget {found['budget']:g}: kept by {kept} of {len(shares)} endpoints with hits on the held-out "
        f"requests; the most has {worst}, {shares[worst]:.4f}. Under the same times to live LRU hits "
        f"{found['lru']['hit_ratio']:.4f}."
    ]


def _seeds(result: dict[str, Any]) -> list[str]:
    seeds = result["seeds"]
    if seeds is None:
        return []
    each = ", ".join(f"{run['seed']}: {run['test']:.4f}" for run in seeds["runs"])
    mean, sd = seeds["test"]["mean"], seeds["test"]["sd"]
    why = "the first" if seeds["validation"]["mean"] is None else "the best in validation"
    return [f"Seeds: {mean:.4f} +- {sd:.4f} ({each}); kept is {seeds['kept']}, {why}."]


def _paths(result: dict[str, Any]) -> list[str]:
    model = result["model"]
    return [
        f"model   {model['name']} version {model['version']} (stage {model['stage']}), MLflow run {result['run_id']}",
        f"bundle  {result['bundle']}",
        f"report  {result['report']}",
        f"look    {where_to_look(result['tracking_uri'])}",
    ]


def where_to_look(tracking_uri: str) -> str:
    """Return the address of MLflow, or the command that shows its store."""
    if tracking_uri.startswith(("http://", "https://")):
        return tracking_uri
    return f"{Path(sys.executable).with_name('mlflow')} ui --backend-store-uri {tracking_uri}"
