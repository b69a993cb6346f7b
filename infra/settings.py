"""Where things are: databases, servers and the folder of state, from the environment or `.env`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from schemas.errors import ConfigError


def _sqlite_url(data: dict[str, Any], file_name: str) -> str:
    path = Path(data["ers_home"]).resolve() / file_name
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


class Settings(BaseSettings):
    """Settings of a process. A variable of the environment wins over the same one in `.env`; empty means unset.

    Attributes:
        ers_home: folder of all state: databases, artifacts, bundles. Relative to the working directory.
        db_url: SQLAlchemy URL of the database; masked when shown.
        mlflow_tracking_uri: SQLAlchemy URL of the MLflow store, or http(s) address of its server.
        prefect_api_url: address of a Prefect server; None = flows run in this process.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True
    )

    ers_home: Path = Path("var")
    db_url: SecretStr = Field(default_factory=lambda data: SecretStr(_sqlite_url(data, "ers.db")))
    mlflow_tracking_uri: str = Field(default_factory=lambda data: _sqlite_url(data, "mlflow.db"))
    prefect_api_url: str | None = None

    @property
    def database_url(self) -> URL:
        """`db_url` parsed, with its password; ConfigError when it is no URL."""
        try:
            return make_url(self.db_url.get_secret_value())
        except ArgumentError:
            raise ConfigError("DB_URL is not an SQLAlchemy URL such as sqlite:///var/ers.db") from None

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, masked_url(value) if name == "mlflow_tracking_uri" else value


def masked_url(url: str) -> str:
    """Return `url` with its password, if it has one, as ***."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


def load_settings() -> Settings:
    """Return the settings of this process, read now.

    Raises:
        ConfigError: one line that names each variable that cannot be used. Values are not shown: they may be secret.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"settings: {'; '.join(wrong)}") from None
