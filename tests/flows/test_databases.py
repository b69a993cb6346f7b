"""The whole pipeline on each database: the same requests give the same policy, and mistakes are one line."""

import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
import sqlalchemy as sa

from schemas.tables import cache_metrics, rl_models
from tests.flows.conftest import TrainedRun
from tests.flows.running import CommandLine
from tests.support.databases import Databases

SERVERS = ("mariadb", "postgresql")
DROPPING = {
    "mariadb": (
        "SELECT id FROM information_schema.processlist WHERE db = :name AND info LIKE 'LOAD DATA%'",
        "KILL {}",
    ),
    "postgresql": (
        "SELECT pid FROM pg_stat_activity WHERE datname = :name AND query LIKE 'COPY%'",
        "SELECT pg_terminate_backend({})",
    ),
}
pytestmark = pytest.mark.parametrize("kind", SERVERS)


def address(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.mark.slow
def test_train_on_a_server_gives_what_it_gives_on_sqlite(
    kind: str, databases: Databases, command_line: CommandLine, trained: TrainedRun, tmp_path
):
    url = databases.url(kind)
    done = command_line(tmp_path, *trained.words, DB_URL=address(url))
    on_sqlite = trained.done.result
    requests = on_sqlite["data"]["requests"]
    for part in ("data", "test", "cache"):
        assert done.result[part] == on_sqlite[part], part
    model, rows = registered(url)
    assert model.mlflow_run_id == done.result["run_id"]
    assert model.db_type == kind
    assert (model.metrics, rows) == (registered(f"sqlite:///{trained.home / 'ers.db'}")[0].metrics, requests)
    assert str(url.password) not in done.out + done.err


def registered(url: sa.URL | str) -> tuple[sa.Row, int]:
    """The first registered model, and how many requests there are."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        model = connection.execute(sa.select(rl_models).order_by(rl_models.c.version)).first()
        rows = connection.execute(sa.select(sa.func.count()).select_from(cache_metrics)).scalar_one()
    engine.dispose()
    assert model is not None
    return model, rows


@pytest.mark.slow
def test_a_connection_dropped_while_it_loads_is_retried(kind, databases, command_line, tmp_path):
    url = databases.url(kind)
    path = tmp_path / "requests.parquet"
    pd.DataFrame({"timestamp": range(400_000), "key": [n % 100 for n in range(400_000)]}).to_parquet(path)
    with ThreadPoolExecutor(1) as pool:
        dropped = pool.submit(drop_one_load, kind, url)
        done = command_line(tmp_path, "ingest", "--source", path, "--json", DB_URL=address(url))
        assert dropped.result() == 1
    assert done.result["added_rows"] == 400_000
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(cache_metrics)).scalar_one() == 400_000
    engine.dispose()


def drop_one_load(kind: str, url: sa.URL) -> int:
    """End the first connection that is seen loading rows into the database; return how many were ended."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    find, drop = DROPPING[kind]
    deadline_s = time.monotonic() + 60
    with engine.connect() as connection:
        while time.monotonic() < deadline_s:
            for (number,) in connection.execute(sa.text(find), {"name": url.database}).all():
                connection.exec_driver_sql(drop.format(number))
                return 1
            time.sleep(0.002)  # for those who load, on two processors
    return 0


def test_the_parts_of_an_address_work_like_the_whole(kind, databases, command_line, tmp_path):
    url = databases.url(kind)
    driver = {"mariadb": "mariadb+pymysql", "postgresql": "postgresql+psycopg"}[kind]
    parts = {"HOST": url.host, "PORT": url.port, "USER": url.username, "PASSWORD": url.password, "NAME": url.database}
    variables = {f"DB_{name}": str(value) for name, value in parts.items()}
    done = command_line(tmp_path, "simulate", "--requests", 50, "--json", DB_DRIVER=driver, **variables)
    assert done.result["added_rows"] == 50
    assert str(url.password) not in done.out + done.err
    columns = command_line(tmp_path, "columns", "--json", DB_DRIVER=driver, **variables)
    assert columns.result["rows"] == 50


@pytest.mark.parametrize(
    ("words", "change", "status", "told"),
    [
        (("columns",), {"password": "wrong-hunter2"}, 1, "check the user and the password"),
        (("columns",), {"port": 1}, 1, "check host and port, and that the server runs"),
        (("curve", "--table", "nothing"), {}, 2, "table 'nothing' is not in the database"),
        (("curve", "--key-sample", "0.5) OR (1=1"), {}, 2, "key_sample"),
        (("curve", "--after", "yesterday"), {}, 2, "after: takes TIMESTAMP_US:ID"),
    ],
)
def test_a_mistake_is_one_line_without_the_password(
    kind, databases, command_line, tmp_path, words, change, status, told
):
    url = databases.server(kind).url.set(**change)
    done = command_line(tmp_path, *words, DB_URL=address(url))
    assert done.status == status
    assert told in done.err.splitlines()[-1]
    assert "Traceback" not in done.err
    assert str(url.password) not in done.err
