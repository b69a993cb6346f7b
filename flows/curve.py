"""Flow `curve`: how the miss ratio of each policy falls with the size of the cache, as a table and a plot."""

from dataclasses import asdict
from typing import Any

from cachesim.analysis.comparison import capacity_ladder, compare, footprint, require_comparable
from flows.engine.kernels import say_if_compiling
from flows.engine.runtime import STORAGE_RETRIES, config_flow, io_task, progress
from flows.shared.requests import StepClock, read_requests
from infra.database.connection import open_database
from infra.settings import load_settings
from schemas.options.train import CurveConfig
from schemas.trace import Trace
from tasks.extract.read import count_requests
from tasks.reports.curve import write_curves


@config_flow(CurveConfig)
def curve(config: CurveConfig) -> dict[str, Any]:
    """Replay recorded requests with each policy at each capacity, and draw the miss ratios."""
    require_comparable(config.policies)
    settings, clock = load_settings(), StepClock()
    engine = open_database(settings)
    try:
        requests = read_requests(engine, settings, config, clock)
        trace, all_requests = requests.trace, len(requests.trace)
        if config.key_sample < 1:
            all_requests = io_task(count_requests, retries=STORAGE_RETRIES)(engine, requests.query, trace)
    finally:
        engine.dispose()
    result = _compared(trace, all_requests, config, clock)
    with clock.step("report"):
        report = io_task(write_curves)(settings.ers_home / "reports", result)
    validation = requests.validation.as_dict()
    return {**result, "validation": validation, "report": str(report), "seconds": clock.seconds}


def _compared(trace: Trace, all_requests: int, config: CurveConfig, clock: StepClock) -> dict[str, Any]:
    say_if_compiling()
    capacities = capacity_ladder(round(footprint(trace, config.unit) / config.key_sample), config.points)
    with clock.step("replay"), progress("replay", "replays") as on_progress:
        comparison = compare(
            trace,
            config.policies,
            capacities.tolist(),
            unit=config.unit,
            measure=config.measure,
            warm_up=config.warm_up,
            ttl_s=config.ttl_s,
            key_sample=config.key_sample,
            all_requests=all_requests,
            seed=config.seed,
            on_progress=on_progress,
        )
    options = config.model_dump(include={"warm_up", "ttl_s", "seed", "key_sample"})
    return {"data": _data(trace, all_requests, config), **asdict(comparison), **options}


def _data(trace: Trace, all_requests: int, config: CurveConfig) -> dict[str, Any]:
    return {
        "requests": len(trace),
        "judged_requests": len(trace) - int(config.warm_up * len(trace)),
        "all_requests": all_requests,
        "distinct_keys": trace.distinct_keys,
        "fingerprint": trace.sha256,
    }


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text: a table of miss ratios, and where the plot is."""
    data, names = result["data"], list(result["miss_ratios"])
    of = "" if result["key_sample"] == 1 else f" of {result['key_sample']:g} of the keys"
    heading = (
        f"Miss ratios ({result['measure'].replace('_', ' ')}) on {data['judged_requests']:,} of {data['requests']:,} "
        f"requests{of} ({data['distinct_keys']:,} distinct keys):"
    )
    width = max(9, *map(len, names))
    lines = [f"  {result['unit']:>16}  " + "  ".join(f"{name:>{width}}" for name in names)]
    for i, capacity in enumerate(result["capacities"]):
        cells = (f"{result['miss_ratios'][name][i]:>{width}.4f}" for name in names)
        lines.append(f"  {capacity:>16,}  " + "  ".join(cells))
    return "\n".join([heading, "", *lines, "", f"report  {result['report']}"])
