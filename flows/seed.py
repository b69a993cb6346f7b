"""Flow `seed`: the tables of the demo's energy data API, filled with made-up hours."""

from dataclasses import asdict
from typing import Any

from flows.runtime import STORAGE_RETRIES, config_flow, io_task, progress
from infra.database import open_database
from infra.settings import load_settings
from schemas.simulation import SeedConfig
from tasks.seed import seed_tables


@config_flow(SeedConfig)
def seed(config: SeedConfig) -> dict[str, Any]:
    """Fill the energy tables; the same options again add nothing, others replace what was seeded."""
    engine = open_database(load_settings())
    try:
        with progress("seed", "rows") as on_progress:
            seeded = io_task(seed_tables, retries=STORAGE_RETRIES)(engine, config, on_progress)
    finally:
        engine.dispose()
    return {"database": engine.url.render_as_string(hide_password=True), **asdict(seeded)}


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text."""
    state = f"{result['added_rows']:,} rows added" if result["added_rows"] else "nothing added: they were there"
    replaced = f" in place of {result['replaced_rows']:,}" if result["replaced_rows"] else ""
    days = "1 day" if result["days"] == 1 else f"{result['days']} days"
    return f"energy tables, {days}, seed {result['seed']}: {state}{replaced}, in {result['database']}"
