"""A copy of a bundle appears whole or not at all, and replaces nothing."""

from pathlib import Path

import pytest

from learning.bundle.load import FILES, LoadedBundle, load_bundle
from schemas.errors import BundleError, ConfigError, StorageError
from schemas.options.train import TrainConfig
from tasks.registry.export import export_copy
from tests.learning.promotion.judged_bundles import make_bundle, recorded


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> LoadedBundle:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "b", recorded(), TrainConfig(cache_size=60))


def test_an_empty_folder_is_filled_and_the_same_bundle_stays(bundle: LoadedBundle, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert export_copy(bundle, tmp_path / "b")
    assert not export_copy(bundle, tmp_path / "b")
    assert load_bundle(tmp_path / "b").sha256 == bundle.sha256
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("name", ["notes.txt", *FILES])
def test_what_is_there_and_is_another_thing_is_left_alone(bundle: LoadedBundle, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / name).write_text("mine")
    with pytest.raises(ConfigError, match="is there already and is not this bundle"):
        export_copy(bundle, folder)
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(name, "mine")]
    with pytest.raises(ConfigError, match="is there already and is not this bundle"):
        export_copy(bundle, folder / name)


def test_a_bundle_that_changed_since_it_was_loaded_is_not_copied(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "from" / "b", recorded(), TrainConfig(cache_size=60))
    (bundle.folder / "README.md").write_text("changed")
    with pytest.raises(BundleError, match=r"README\.md was changed"):
        export_copy(bundle, tmp_path / "to" / "b")
    assert list((tmp_path / "to").iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_line(bundle: LoadedBundle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"/file cannot be written: File exists; mend that, then try") as caught:
        export_copy(bundle, tmp_path / "file" / "b")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").is_file()
