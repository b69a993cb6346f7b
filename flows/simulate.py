"""Flow `simulate`: made-up traffic into `cache_metrics`, into a file, or to a server."""

from dataclasses import asdict
from typing import Any

from flows.engine.runtime import config_flow, io_task, progress
from flows.shared import recording
from schemas.options.simulate import TABLE, SimulateConfig
from tasks.simulate.http import send_simulated
from tasks.simulate.record import record_simulated, write_simulated


@config_flow(SimulateConfig)
def simulate(config: SimulateConfig) -> dict[str, Any]:
    """Make up requests; recorded in the table, the same ones again add nothing."""
    if config.base_url is not None:
        with progress("send", "requests") as on_progress:
            return asdict(io_task(send_simulated)(config, on_progress))
    if config.to != TABLE:
        with progress("simulate", "rows") as on_progress:
            return asdict(io_task(write_simulated)(config, on_progress))
    return recording.record(record_simulated, config, "simulate")


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text."""
    if "file" in result:
        return f"{result['name']}: {result['requests']:,} requests, {result['file_bytes']:,} bytes in {result['file']}"
    return _sent(result) if "base_url" in result else recording.summary(result)


def _sent(result: dict[str, Any]) -> str:
    wanted = "" if result["wanted_rate"] is None else f" of {result['wanted_rate']:,.1f}"
    late = f", at worst {result['late_s']:,.1f} s late" if result["late_s"] >= 0.1 else ""
    failed = "".join(f", {count:,} x {kind}" for kind, count in result["errors"].items())
    return "\n".join(
        [
            f"{result['name']}: {result['requests']:,} requests to {result['base_url']}, {result['clients']} at once",
            "  answers   "
            + ", ".join(f"{count:,} x {status}" for status, count in result["statuses"].items())
            + failed,
            f"  rate      {result['rate']:,.1f}{wanted} requests/s for {result['seconds']:,.1f} s{late}",
            f"  latency   {result['latency_p50_ms']:,.1f} ms at p50, {result['latency_p95_ms']:,.1f} ms at p95",
            f"  received  {result['received_bytes']:,} bytes",
        ]
    )
