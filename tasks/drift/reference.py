"""What the data of a registered model was like, read from `rl_models`: later data is compared with it."""

from dataclasses import dataclass

import sqlalchemy as sa
from pydantic import ValidationError

from infra.database.connection import storage_errors
from schemas.bundle import DataProfile
from schemas.errors import StorageError
from schemas.tables import rl_models

PRODUCTION = "Production"  # as MLflow calls it


@dataclass(frozen=True)
class Reference:
    """The training data of a model.

    Attributes:
        name: which model.
        profile: how the features were distributed.
    """

    name: str
    profile: DataProfile


def reference_of(engine: sa.Engine, decision: str, table_name: str) -> Reference | None:
    """Return the training data of the model for `decision` that serves, else of the newest one; None = unknown.

    Args:
        engine: the database with `rl_models`.
        decision: "eviction", "admission" or "ttl".
        table_name: the model must have learned from this table.

    Raises:
        StorageError: the database failed, or holds something else.
    """
    c = rl_models.c
    model = f"cache-policy-{decision}"
    query = (
        sa.select(c.version, c.stage, c.data_profile)
        .where(c.registered_name == model, c.table_name == table_name)
        .order_by(sa.case((c.stage == PRODUCTION, 0), else_=1), c.version.desc())
        .limit(1)
    )
    with storage_errors(engine.url), engine.connect() as connection:
        found = connection.execute(query).first()
    if found is None or found.data_profile is None:
        return None
    try:
        profile = DataProfile.model_validate(found.data_profile)
    except ValidationError as error:
        raise StorageError(f"rl_models: data_profile of {model} version {found.version} is damaged: {error}") from error
    return Reference(f"{model} version {found.version} (stage {found.stage})", profile)
