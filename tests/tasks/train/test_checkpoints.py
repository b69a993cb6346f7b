"""The folder of checkpoints: one file a training, and few of those that were never finished."""

import os
from pathlib import Path

import pytest

from cachesim.traffic.energy import energy_trace
from learning.problem import build_problem
from schemas.options.train import TrainConfig
from support.atomic import TEMPORARY_PREFIX
from support.process_owner import current_owner
from tasks.train.checkpoints import KEPT_CHECKPOINTS, checkpoint_path, remove_checkpoints, sweep_checkpoints


def test_the_same_data_and_options_find_the_same_file_and_others_another(tmp_path: Path) -> None:
    config = TrainConfig(cache_size=40, seed=1)
    problem = build_problem(energy_trace(2_000, seed=0), config)
    path = checkpoint_path(tmp_path, problem, config)
    assert checkpoint_path(tmp_path, build_problem(energy_trace(2_000, seed=0), config), config) == path
    where_from = {"source": "again.parquet", "max_queries": 2_000, "seeds": 3}
    assert checkpoint_path(tmp_path, problem, config.model_copy(update=where_from)) == path
    others = [{"seed": 2}, {"timesteps": 9}, {"algorithm": "ppo"}, {"key_sample": 0.5}, {"patience": 1}]
    found = {checkpoint_path(tmp_path, problem, config.model_copy(update=other)) for other in others}
    found.add(checkpoint_path(tmp_path, build_problem(energy_trace(2_000, seed=1), config), config))
    assert len(found | {path}) == len(others) + 2


def test_only_the_newest_few_of_other_trainings_stay(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.pt" for i in range(8)]
    for age_s, path in enumerate(paths):
        path.write_bytes(b"")
        os.utime(path, (1_000_000 - age_s, 1_000_000 - age_s))
    sweep_checkpoints(tmp_path, [paths[-1], tmp_path / "new.pt"])
    assert sorted(tmp_path.iterdir()) == sorted([*paths[:KEPT_CHECKPOINTS], paths[-1]])


def test_what_a_killed_process_was_writing_is_removed_and_that_of_a_live_one_stays(tmp_path: Path) -> None:
    live = current_owner()
    host, pid, start = live.split("~")
    mine, gone = tmp_path / f"{TEMPORARY_PREFIX}0~{live}", tmp_path / f"{TEMPORARY_PREFIX}1~{host}~{pid}~{start}0"
    mine.write_bytes(b"")
    gone.write_bytes(b"")
    sweep_checkpoints(tmp_path, [])
    assert list(tmp_path.iterdir()) == [mine]


@pytest.mark.parametrize("others", [0, 1])
def test_a_run_that_succeeded_leaves_no_checkpoint(others: int, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    sweep_checkpoints(folder, [])  # which is not there yet
    folder.mkdir()
    for name in ["own.pt", "other.pt"][: others + 1]:
        (folder / name).write_bytes(b"")
    remove_checkpoints([folder / "own.pt", folder / "never-written.pt"])
    assert folder.exists() == bool(others)
    assert not (folder / "own.pt").exists()
