"""MLflow's side of the registry: versions, their stages, the alias "champion", and the files of their runs."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.tracking.tracker import Tracker

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

PREFIX = "cache-policy-"  # of the registered models that are ours; the decision follows
CHAMPION = "champion"
NO_STAGE, PRODUCTION, ARCHIVED_STAGE = "None", "Production", "Archived"  # as MLflow calls them
PAGE = 1000


@dataclass(frozen=True)
class StoredVersion:
    """A version as MLflow has it.

    Attributes:
        version: number in its registered model.
        run_id: the run that it was made by.
        stage: "None", "Staging", "Production" or "Archived".
        aliases: that point to it, sorted.
        updated_ms: when it was last changed, milliseconds since 1970.
    """

    version: int
    run_id: str
    stage: str
    aliases: tuple[str, ...]
    updated_ms: int


def model_name(decision: str) -> str:
    """Return the name of the registered model for a decision."""
    return PREFIX + decision


def stored_names(tracker: Tracker) -> list[str]:
    """Return the names of our registered models in MLflow."""
    with tracker.errors():
        found = tracker.client.search_registered_models(f"name LIKE '{PREFIX}%'", max_results=PAGE)
    return sorted(model.name for model in found)


def stored_versions(tracker: Tracker, name: str) -> list[StoredVersion]:
    """Return the versions of a registered model, by number; none where MLflow has no such model."""
    from mlflow.exceptions import MlflowException

    aliases: dict[int, list[str]] = {}
    found: list[ModelVersion] = []
    token: str | None = None
    with tracker.errors():
        try:
            model = tracker.client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return []
        for alias, version in model.aliases.items():
            aliases.setdefault(int(version), []).append(alias)
        while token is None or token:
            page = tracker.client.search_model_versions(f"name = '{name}'", max_results=PAGE, page_token=token)
            found += page
            token = page.token or ""
    versions = [
        StoredVersion(
            version=int(one.version),
            run_id=one.run_id or "",
            stage=one.current_stage or NO_STAGE,
            aliases=tuple(sorted(aliases.get(int(one.version), ()))),
            updated_ms=int(one.last_updated_timestamp or 0),
        )
        for one in found
    ]
    return sorted(versions, key=lambda version: version.version)


def version_of_run(tracker: Tracker, name: str, run_id: str) -> int | None:
    """Return the first version that was made of a run; None when there is none."""
    with tracker.errors():
        found = tracker.client.search_model_versions(f"run_id = '{run_id}'")
    return min((int(version.version) for version in found if version.name == name), default=None)


def point_alias(tracker: Tracker, name: str, version: int | None) -> None:
    """Let the alias "champion" point to a version, or to none."""
    with tracker.errors():
        if version is None:
            tracker.client.delete_registered_model_alias(name, CHAMPION)
        else:
            tracker.client.set_registered_model_alias(name, CHAMPION, str(version))


def leave_in_production(tracker: Tracker, name: str, version: int | None) -> None:
    """Put a version, or none, at stage "Production", and archive all others that are there."""
    others = [one.version for one in stored_versions(tracker, name) if one.stage == PRODUCTION]
    transition = tracker.client.transition_model_version_stage
    with tracker.errors(), _known_deprecations():
        if version is not None:  # and the others in one transaction
            transition(name, str(version), PRODUCTION, archive_existing_versions=True)
            return
        for other in others:
            transition(name, str(other), ARCHIVED_STAGE)


@contextmanager
def _known_deprecations() -> Iterator[None]:
    """Stages are deprecated in MLflow, with no end in sight, and what people know: stage and alias move together."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*[Ss]tage")
        yield
