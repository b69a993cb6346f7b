"""Flow `rollback`: the version that was in Production before is there again."""

from typing import Any

from flows.registry import Registry, open_registry, reconciled
from flows.runtime import STORAGE_RETRIES, config_flow, io_task
from schemas.errors import ConfigError
from schemas.promotion import RollbackConfig
from tasks.registry.bundles import fetch_bundle
from tasks.registry.history import former_champions
from tasks.registry.mirror import ROLLED_BACK, Version, read_versions
from tasks.registry.move import Move, champion_of, move_champion
from tasks.registry.store import model_name


@config_flow(RollbackConfig)
def rollback(config: RollbackConfig) -> dict[str, Any]:
    """Put the version back into Production that was there before."""
    with open_registry() as registry:
        reconciled(registry)
        name = model_name(config.decision)
        champion = champion_of(read_versions(registry.engine, name))
        previous = _previous(registry, name, champion)
        bundle = io_task(fetch_bundle, retries=STORAGE_RETRIES)(registry.tracker, previous, registry.home)
        former = champion.version if champion else None
        move = Move(name, previous.version, former, ROLLED_BACK, config.reason)
        io_task(move_champion)(registry.engine, registry.tracker, move)
    return {
        "name": name,
        "version": previous.version,
        "former": former,
        "bundle": str(bundle.folder),
        "reason": config.reason,
    }


def _previous(registry: Registry, name: str, champion: Version | None) -> Version:
    """Return the version that was in Production before the present one, or last, when none is now."""
    past = former_champions(registry.engine, name)
    if champion and past[-1:] == [champion.version]:
        past = past[:-1]
    if not past:
        raise ConfigError(f"{name}: no version was in Production before, so there is nothing to go back to")
    return next(version for version in read_versions(registry.engine, name) if version.version == past[-1])


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text."""
    former = "nothing" if result["former"] is None else f"version {result['former']}"
    return f"{result['name']}: version {result['version']} is in Production again, {former} was\nbundle  {result['bundle']}"
