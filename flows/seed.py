"""Flow `seed`: the tables of the demo's energy data API, filled with made-up hours."""

from typing import Any

from flows.engine.runtime import config_flow
from flows.shared.recording import record
from schemas.options.simulate import SeedConfig
from tasks.simulate.seed import seed_tables


@config_flow(SeedConfig)
def seed(config: SeedConfig) -> dict[str, Any]:
    """Fill the energy tables; the same options again add nothing, others replace what was seeded."""
    return record(seed_tables, config, "seed")


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text."""
    state = f"{result['added_rows']:,} rows added" if result["added_rows"] else "nothing added: they were there"
    replaced = f" in place of {result['replaced_rows']:,}" if result["replaced_rows"] else ""
    days = "1 day" if result["days"] == 1 else f"{result['days']} days"
    return f"energy tables, {days}, seed {result['seed']}: {state}{replaced}, in {result['database']}"
