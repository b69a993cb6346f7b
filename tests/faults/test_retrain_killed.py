"""`retrain` ended in the middle, or started twice: what was left is judged, not trained again; one version serves."""

from pathlib import Path

import pytest

from infra.settings import Settings
from tests.faults.forks import Forks
from tests.flows.running import CommandLine, mlflow_runs, rows, select, versions

pytestmark = pytest.mark.slow

WORDS = ("retrain", "--min-new-requests", "5000", "--cache-size", "100", "--timesteps", "2000", "--json")


def recorded(home: Path, source: Path, command_line: CommandLine) -> Settings:
    assert command_line(home, "ingest", "--source", source).status == 0
    return Settings(_env_file=None, ers_home=home, db_url=f"sqlite:///{home}/ers.db")


def decisions(home: Path) -> list[tuple[str, int]]:
    return select(home, "SELECT event, version FROM rl_model_events WHERE event IN ('promoted', 'refused') ORDER BY id")


def stages(home: Path) -> dict[int, str]:
    return dict(select(home, "SELECT version, stage FROM rl_models"))


def test_a_version_that_a_killed_retrain_left_is_judged_and_not_trained_again(
    tmp_path: Path, requests_parquet: Path, forks: Forks, command_line: CommandLine
) -> None:
    settings = recorded(tmp_path, requests_parquet, command_line)
    assert forks.run("command", settings, *WORDS, after="run finished").killed
    assert (stages(tmp_path), decisions(tmp_path)) == ({1: "None"}, [])

    assert forks.run("command", settings, *WORDS, after="move: alias set").killed  # in its promotion
    assert (stages(tmp_path), decisions(tmp_path)) == ({1: "None"}, [])

    last = command_line(tmp_path, *WORDS).result
    assert last["why"].startswith("nothing to do: 0 new requests since ")
    assert (last["champion"], last["version"]) == (1, None)
    assert (stages(tmp_path), decisions(tmp_path)) == ({1: "Production"}, [("promoted", 1)])
    assert list(versions(tmp_path)) == [1]
    assert list(mlflow_runs(tmp_path).values()) == ["FINISHED"]


def test_two_retrains_at_once_that_find_a_version_left_leave_one_champion_and_nothing_to_do(
    tmp_path: Path, requests_parquet: Path, forks: Forks, command_line: CommandLine
) -> None:
    settings = recorded(tmp_path, requests_parquet, command_line)
    assert forks.run("command", settings, *WORDS, after="run finished").killed
    started = [forks.start("command", settings, *WORDS) for _ in range(2)]
    outcomes = [fork.ended() for fork in started]
    assert not any(outcome.killed or outcome.error for outcome in outcomes)
    assert 0 in [outcome.result for outcome in outcomes]
    assert {outcome.result for outcome in outcomes} <= {0, 1}  # 1: the other one was just moving the champion

    settled = command_line(tmp_path, *WORDS).result
    assert settled["why"].startswith("nothing to do: 0 new requests since ")
    assert (stages(tmp_path), decisions(tmp_path)) == ({1: "Production"}, [("promoted", 1)])
    assert rows(tmp_path)["rl_models"] == 1
