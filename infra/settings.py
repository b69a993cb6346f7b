"""Where things are: databases, servers and the folder of state, from the environment or `.env`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from schemas.errors import ConfigError

Driver = Literal["sqlite", "mysql+pymysql", "mariadb+pymysql", "postgresql+psycopg"]
DRIVERS = {  # of a DB_URL that names a database only; MariaDB is spoken to, and told apart, as MySQL
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}
PARTS = ("db_driver", "db_host", "db_port", "db_user", "db_password", "db_name")


def _sqlite_url(home: Path, file_name: str) -> str:
    path = home.resolve() / file_name
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


class Settings(BaseSettings):
    """Settings of a process. A variable of the environment wins over the same one in `.env`; empty means unset.

    Attributes:
        ers_exports: folder that bundles may be exported into, by default the working directory.
        ers_home: folder of all state: databases, artifacts, bundles. Relative to the working directory.
        ers_tmp: folder of temporary files, which nobody else may enter; None = `<ers_home>/tmp`.
        db_url: SQLAlchemy URL of the database; masked when shown. Unset = `<ers_home>/ers.db`, or what follows.
        db_driver: sqlite, mysql+pymysql, mariadb+pymysql or postgresql+psycopg, in place of `db_url`.
        db_host, db_port, db_user, db_password, db_name: the rest of it; with sqlite the name is the path of a file.
        mlflow_tracking_uri: SQLAlchemy URL of the MLflow store, or http(s) address of its server.
        prefect_api_url: address of a Prefect server; None = flows run in this process.
        ers_prefect_port, ers_mlflow_port: of the servers of `make up`; None = 4200 and 5000, or others that are free.
        ers_crashed_after_s: how long nothing may be heard of a run of a deployment before it counts as crashed; a
            heartbeat comes each 30 s, and Prefect's server may wait a minute for its SQLite file.
        ers_task_runner: where the trials of a sweep run: threads, processes, dask (a cluster of its own), or the
            address of a Dask scheduler, tcp://HOST:PORT.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True
    )

    ers_exports: Path = Path()
    ers_home: Path = Path("var")
    ers_tmp: Path | None = None
    db_url: SecretStr | None = None
    db_driver: Driver | None = None
    db_host: str | None = None
    db_port: int | None = Field(default=None, ge=1, le=65535)
    db_user: str | None = None
    db_password: SecretStr | None = None
    db_name: str | None = None
    mlflow_tracking_uri: str = Field(default_factory=lambda data: _sqlite_url(data["ers_home"], "mlflow.db"))
    prefect_api_url: str | None = None
    ers_prefect_port: int | None = Field(default=None, ge=1, le=65535)
    ers_mlflow_port: int | None = Field(default=None, ge=1, le=65535)
    ers_crashed_after_s: int = Field(default=300, ge=90, le=86_400)
    ers_task_runner: str = Field(default="processes", pattern=r"^(threads|processes|dask|(tcp|tls)://\S+)$")

    @property
    def database_url(self) -> URL:
        """The address of the database, with its driver and password.

        Raises:
            ConfigError: DB_URL is no URL, or the variables that stand for it contradict or miss something.
        """
        given = [name for name in PARTS if getattr(self, name) is not None]
        if self.db_url is None:
            return self._composed(given)
        if given:
            raise ConfigError(f"give DB_URL or {', '.join(map(str.upper, given))}, not both")
        try:
            url = make_url(self.db_url.get_secret_value())
        except (ArgumentError, ValueError):  # ValueError: a port that is no number
            raise ConfigError(
                "DB_URL is not an SQLAlchemy URL such as sqlite:///var/ers.db or postgresql://user:password@host/name"
            ) from None
        return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))

    def _composed(self, given: list[str]) -> URL:
        if not given:
            return make_url(_sqlite_url(self.ers_home, "ers.db"))
        needed = ("db_driver", "db_name") if self.db_driver == "sqlite" else ("db_driver", "db_host", "db_name")
        missing = [name.upper() for name in needed if name not in given]
        if missing or self.db_driver is None:
            raise ConfigError(f"settings: {' and '.join(missing)} missing beside {', '.join(map(str.upper, given))}")
        if self.db_driver == "sqlite":
            return URL.create("sqlite", database=self.db_name)
        password = self.db_password.get_secret_value() if self.db_password else None
        driver = DRIVERS.get(self.db_driver, self.db_driver)
        return URL.create(driver, self.db_user, password, self.db_host, self.db_port, self.db_name)

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
