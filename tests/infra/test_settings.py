"""Settings come from the environment, then `.env`, and never show a password."""

import os
from pathlib import Path

import pytest

from infra.settings import Settings, load_settings
from schemas.errors import ConfigError

NAMES = ("DB_URL", "MLFLOW_TRACKING_URI", "PREFECT_API_URL", "ERS_HOME")


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_by_default_everything_lies_under_var(tmp_path):
    settings = load_settings()
    assert settings.ers_home == Path("var")
    assert settings.database_url.database == str(tmp_path / "var" / "ers.db")
    assert settings.mlflow_tracking_uri == f"sqlite:///{tmp_path / 'var' / 'mlflow.db'}"
    assert settings.prefect_api_url is None


def test_reading_settings_makes_nothing(tmp_path):
    load_settings()
    assert list(tmp_path.iterdir()) == []


def test_ers_home_moves_both_databases(tmp_path, monkeypatch):
    monkeypatch.setenv("ERS_HOME", str(tmp_path / "a home, #1"))
    settings = load_settings()
    assert settings.database_url.database == str(tmp_path / "a home, #1" / "ers.db")
    assert settings.mlflow_tracking_uri.endswith("a home, #1/mlflow.db")


def test_the_environment_wins_over_the_file_and_empty_means_unset(tmp_path, monkeypatch):
    Path(".env").write_text("ERS_HOME=from_file\nPREFECT_API_URL=http://file/api\nSOMETHING_ELSE=1\nDB_URL=\n")
    monkeypatch.setenv("ERS_HOME", "from_environment")
    settings = load_settings()
    assert settings.ers_home == Path("from_environment")
    assert settings.prefect_api_url == "http://file/api"
    assert settings.database_url.database == str(tmp_path / "from_environment" / "ers.db")


def test_passwords_are_masked_wherever_settings_are_shown(monkeypatch):
    monkeypatch.setenv("DB_URL", "postgresql+psycopg://me:hunter2@host/db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+psycopg://me:hunter3@host/db")
    settings = load_settings()
    for shown in (repr(settings), str(settings), str(settings.database_url.render_as_string())):
        assert "hunter" not in shown
    assert settings.database_url.password == "hunter2"


def test_a_wrong_setting_is_one_line_that_names_it_and_hides_its_value(monkeypatch):
    monkeypatch.setenv("DB_URL", "hunter2 is no url")
    with pytest.raises(ConfigError, match="DB_URL is not an SQLAlchemy URL") as caught:
        _ = load_settings().database_url
    assert "hunter2" not in str(caught.value)


def test_the_example_file_documents_every_setting_and_gives_the_defaults(monkeypatch):
    example = (Path(__file__).parents[2] / ".env.example").read_text()
    assert {name.upper() for name in Settings.model_fields} <= {
        line.lstrip("# ").partition("=")[0] for line in example.splitlines()
    }
    Path(".env").write_text(example)
    assert load_settings() == Settings(_env_file=None)
    assert "DB_URL" not in os.environ
