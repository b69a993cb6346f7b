"""An empty database for each test, and files of requests to record into it."""

import gzip
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from mlflow import MlflowClient

from infra.database.connection import open_database
from infra.settings import Settings
from schemas.options.train import IngestConfig
from tasks.ingest.record import IngestedSource, ingest_file
from tests.learning.bundle.bundles import export
from tests.support.databases import Databases
from tests.tasks.registry.stores import Stores

Record = Callable[..., IngestedSource]


@pytest.fixture
def database_kind(request: pytest.FixtureRequest) -> str:
    """The kind of database; see `tests.support.databases.on_each_database`."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def settings(database_kind: str, databases: Databases, tmp_path: Path) -> Settings:
    """With an empty database."""
    return databases.settings(database_kind, tmp_path / "home")


@pytest.fixture
def engine(settings: Settings) -> Iterator[sa.Engine]:
    engine = open_database(settings)
    yield engine
    engine.dispose()


@pytest.fixture
def ingest(engine: sa.Engine) -> Record:
    """Ingest a file; keywords are options."""

    def call(path: Path, **options: Any) -> IngestedSource:
        return ingest_file(engine, IngestConfig(source=str(path), **options))

    return call


@pytest.fixture
def record(ingest: Record) -> Record:
    """Ingest a file; keywords are the mapping."""

    def call(path: Path, **mapping: str) -> IngestedSource:
        return ingest(path, map=mapping)

    return call


@pytest.fixture
def read(engine: sa.Engine) -> Callable[[], pd.DataFrame]:
    """All rows of the table, all columns, by id."""

    def call() -> pd.DataFrame:
        with engine.connect() as connection:
            return pd.read_sql("SELECT * FROM cache_metrics ORDER BY id", connection)

    return call


@pytest.fixture
def written_rows(engine: sa.Engine) -> Callable[[], tuple[int, int]]:
    """Rows of cache_metrics and of ingested_sources."""

    def call() -> tuple[int, int]:
        with engine.connect() as connection:
            counts = [
                connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
                for table in ("cache_metrics", "ingested_sources")
            ]
        return counts[0], counts[1]

    return call


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., Path]:
    """A Parquet file of the given columns."""

    def write(name: str = "requests.parquet", **columns: Any) -> Path:
        path = tmp_path / name
        pd.DataFrame(columns).to_parquet(path, index=False)
        return path

    return write


def pack(name: str, data: bytes) -> bytes:
    """Return the bytes of a file of that name: packed when it ends in .gz or .zst."""
    if name.endswith(".zst"):
        return bytes(pa.compress(data, "zstd", asbytes=True))
    return gzip.compress(data) if name.endswith(".gz") else data


@pytest.fixture
def binary_file(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """A file of bytes, packed when its name says so."""

    def write(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(pack(name, data))
        return path

    return write


@pytest.fixture
def text_file(binary_file: Callable[[str, bytes], Path]) -> Callable[[str, str], Path]:
    """A text file, packed when its name says so."""
    return lambda name, text: binary_file(name, text.encode())


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("bundles") / "b1")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in them: making one takes two seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def home(tmp_path: Path, empty_store: Path) -> Path:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def stores(home: Path) -> Iterator[Stores]:
    stores = Stores(home)
    yield stores
    stores.engine.dispose()
