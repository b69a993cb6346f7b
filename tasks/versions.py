"""The registered versions as `rl_models` has them, and the bundle of each."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from infra.database import storage_errors
from learning.bundle import LoadedBundle, load_bundle
from schemas.config import Decision
from schemas.errors import BundleError, ConfigError
from schemas.tables import rl_models
from tasks.profiles import PRODUCTION
from tasks.registry import BUNDLE_ARTIFACT
from tasks.tracking import Tracker


@dataclass(frozen=True)
class Version:
    """A registered version, as `rl_models` has it."""

    name: str
    version: int
    run_id: str
    stage: str
    algorithm: str
    decision: str
    bundle_sha256: str


def choose_version(engine: sa.Engine, decision: Decision, which: str) -> Version:
    """Return the version for `decision`: "champion" (in Production), "latest", "best" (test value ratio), or a number.

    Raises:
        ConfigError: there is none.
        StorageError: the database failed.
    """
    c, name = rl_models.c, f"cache-policy-{decision}"
    columns = (c.registered_name, c.version, c.mlflow_run_id, c.stage, c.algorithm, c.decision, c.bundle_sha256)
    query = sa.select(*columns, c.metrics).where(c.registered_name == name).order_by(c.version.desc())
    with storage_errors(engine.url), engine.connect() as connection:
        rows = connection.execute(query).all()
    if which == "champion":
        rows = [row for row in rows if row.stage == PRODUCTION]
    elif which == "best":
        rows = sorted(rows, key=lambda row: row.metrics["test"]["policy"]["value_ratio"] or 0.0, reverse=True)
    elif which != "latest":
        rows = [row for row in rows if str(row.version) == which]
    if not rows:
        what = "no version in Production" if which == "champion" else f"no version {which}"
        raise ConfigError(f"{name} has {what}: train or promote one, or choose another by version")
    return Version(*rows[0][: len(columns)])


def fetch_bundle(tracker: Tracker, version: Version, home: Path) -> LoadedBundle:
    """Return the bundle of a version, from the home, or from MLflow's artifacts to it.

    Raises:
        BundleError: it is not whole, or not the one that was registered.
        StorageError: MLflow cannot be read.
    """
    folder = home / "bundles" / f"{version.decision}-{version.algorithm}-{version.run_id}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as work, tracker.errors():
            found = Path(tracker.client.download_artifacts(version.run_id, BUNDLE_ARTIFACT, work))
            load_bundle(found)
            found.rename(folder)
    bundle = load_bundle(folder)
    if bundle.sha256 != version.bundle_sha256:
        raise BundleError(f"bundle {folder} is not that of {version.name} version {version.version}; remove it")
    return bundle
