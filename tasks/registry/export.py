"""Bundles copied to where people want them, inside one folder."""

from pathlib import Path

from learning.bundle.load import FILES, LoadedBundle, load_bundle
from schemas.errors import BundleError, ConfigError
from support.atomic import sync, temporary_directory, write_errors


def export_target(root: Path, into: str) -> Path:
    """Return the folder `into`, relative to `root`, with all links followed.

    Raises:
        ConfigError: it lies outside.
    """
    inside = root.resolve()
    target = (inside / into).resolve()
    if target == inside or not target.is_relative_to(inside):
        raise ConfigError(f"into: {into} must be a folder inside {inside}; the setting ERS_EXPORTS names another one")
    return target


def export_copy(bundle: LoadedBundle, folder: Path) -> bool:
    """Copy a bundle to `folder`, which appears whole and checked or not at all; return whether it was not there yet.

    Raises:
        ConfigError: something else is there.
        BundleError: the bundle was changed since it was loaded.
        StorageError: it cannot be written.
    """
    with write_errors(folder):
        if _is_taken(folder):
            _require_same(bundle, folder)
            return False
        with temporary_directory(folder.parent) as work:
            _copy(bundle, work / folder.name).rename(folder)
        sync(folder.parent)
    return True


def _is_taken(folder: Path) -> bool:
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def _require_same(bundle: LoadedBundle, folder: Path) -> None:
    try:
        same = load_bundle(folder).sha256 == bundle.sha256
    except BundleError:
        same = False
    if not same:
        raise ConfigError(f"into: {folder} is there already and is not this bundle; choose another folder")


def _copy(bundle: LoadedBundle, copy: Path) -> Path:
    """Copy the files of a bundle, those alone, to the new folder `copy`, and read them back."""
    copy.mkdir()
    for name in FILES:
        (copy / name).write_bytes((bundle.folder / name).read_bytes())
        sync(copy / name)
    sync(copy)
    if load_bundle(copy).sha256 != bundle.sha256:
        raise BundleError(f"bundle {bundle.folder} was changed since it was loaded; export it again")
    return copy
