"""The flow `export`: a checked copy of a bundle, inside the folder of exports and nowhere else."""

from pathlib import Path

import pytest

from learning.bundle.load import FILES, bundle_sha256, load_bundle
from tests.flows.conftest import TrainedRun
from tests.flows.running import CommandLine

pytestmark = pytest.mark.slow

VERSION = ("export", "--version", 1)


def test_a_version_is_copied_whole_and_a_second_time_it_is_there(
    trained: TrainedRun, command_line: CommandLine, tmp_path: Path
) -> None:
    words = (*VERSION, "--into", "policies/eviction")
    result = command_line(trained.home, *words, "--json", ERS_EXPORTS=str(tmp_path)).result
    folder = tmp_path / "policies" / "eviction"
    assert (result["folder"], result["is_new"]) == (str(folder), True)
    assert load_bundle(folder).sha256 == bundle_sha256(Path(trained.done.result["bundle"])) == result["bundle_sha256"]
    assert {path.name for path in folder.iterdir()} == {*FILES}
    assert [path.name for path in folder.parent.iterdir()] == ["eviction"]
    again = command_line(trained.home, *words, ERS_EXPORTS=str(tmp_path))
    title = "cache-policy-eviction version 1 (eviction, dqn)"
    assert again.out == f"{title}: it is there already: {folder}\n"


@pytest.mark.parametrize("into", ["../elsewhere", "/tmp/elsewhere", ".", "link/elsewhere", "a/../../b"])
def test_a_folder_outside_is_refused_and_the_setting_named(
    into: str, trained: TrainedRun, command_line: CommandLine, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    done = command_line(trained.home, *VERSION, "--into", into, ERS_EXPORTS=str(root))
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: into: {into} must be a folder inside {root}; the setting ERS_EXPORTS")
    assert [path.name for path in root.iterdir()] == ["link"]
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
