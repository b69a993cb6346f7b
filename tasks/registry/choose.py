"""Which registered version is meant."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from infra.database.connection import storage_errors
from schemas.errors import ConfigError
from schemas.tables import rl_models
from tasks.registry.champion import champion_of
from tasks.registry.mlflow_side import ARCHIVED_STAGE, model_name
from tasks.registry.sql_side import Version, read_versions


def choose_version(engine: sa.Engine, decision: str, which: str) -> Version:
    """Return a version of the registered model for a decision.

    Args:
        engine: the database with `rl_models`.
        decision: eviction, admission or ttl.
        which: its number; "champion", the one in Production; "latest", the newest; or "best", the one that exceeded its
            best baseline by the most on its own held-out requests, of those that are not archived.

    Raises:
        ConfigError: there is no such version.
        StorageError: the database failed.
    """
    name = model_name(decision)
    versions = read_versions(engine, name)
    if not versions:
        raise ConfigError(
            f"version: {name} has no versions yet; train one: python -m flows train --decision {decision}"
        )
    if which == "latest":
        return versions[-1]
    if which == "best":
        return _best(engine, versions)
    if which == "champion":
        champion = champion_of(versions)
        if champion is None:
            raise ConfigError(f"version: no version of {name} is in Production; promote one, or name a version")
        return champion
    found = next((version for version in versions if str(version.version) == which), None)
    if found is None:
        known = ", ".join(str(version.version) for version in versions[-10:])
        raise ConfigError(f"version: {name} has no version {which!r}; it has {known}; or say latest, best or champion")
    return found


def _best(engine: sa.Engine, versions: Sequence[Version]) -> Version:
    columns = (rl_models.c.mlflow_run_id, rl_models.c.metrics)
    with storage_errors(engine.url), engine.connect() as connection:
        metrics = {row.mlflow_run_id: row.metrics for row in connection.execute(sa.select(*columns))}
    judged = {
        version.version: margin
        for version in versions
        if version.stage != ARCHIVED_STAGE and (margin := _margin(metrics[version.run_id])) is not None
    }
    if not judged:
        raise ConfigError(f"version: no version of {versions[0].name} that is not archived was judged; name one")
    best = max(judged, key=lambda number: (judged[number], number))
    return next(version for version in versions if version.version == best)


def _margin(metrics: dict[str, Any] | None) -> float | None:
    """Return by how much value ratio a version exceeded its best baseline; None where that was not recorded."""
    try:
        found = (metrics or {})["test"]["comparisons"]["policy"][(metrics or {})["best_baseline"]]["value_ratio"]
        return float(found["difference"])
    except (KeyError, TypeError):
        return None
