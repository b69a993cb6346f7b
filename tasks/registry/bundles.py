"""The bundles of versions: among the artifacts in MLflow, and as folders on this machine, where they are used from."""

import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from learning.bundle.load import FILES, MAX_FILE_BYTES, LoadedBundle, load_bundle
from schemas.errors import BundleError
from support.atomic import temporary_directory, write_errors
from tasks.registry.sql_side import Version
from tasks.steps import step_done
from tasks.tracking.model_artifacts import BUNDLE_ARTIFACT, has_model, log_model
from tasks.tracking.tracker import Tracker

BUNDLES = "bundles"  # folder in the home
RUN_ID = re.compile("[0-9a-f]{32}")


def run_folder(decision: str, algorithm: str, run_id: str) -> str:
    """Return the name of what a run leaves in the folders of bundles and of reports."""
    return f"{decision}-{algorithm}-{run_id}"


def bundle_folder(home: Path, version: Version) -> Path:
    """Return where the bundle of a version lies on this machine, if it does."""
    return home / BUNDLES / run_folder(version.decision, version.algorithm, version.run_id)


def fetch_bundle(tracker: Tracker, version: Version, home: Path) -> LoadedBundle:
    """Return the checked bundle of a version from this machine, where it is fetched from MLflow first if need be.

    Raises:
        BundleError: MLflow's is missing, not whole, or not the one that was registered.
        StorageError: MLflow cannot be read.
    """
    folder = bundle_folder(home, version)
    if folder.exists():
        try:
            return load_as(version, folder)
        except BundleError:  # the copy is damaged: MLflow has the original
            pass
    with write_errors(folder.parent), temporary_directory(folder.parent) as work:
        download_bundle(tracker, version, work / "new")
        if folder.exists():
            folder.rename(work / "damaged")
        (work / "new").rename(folder)
    step_done("fetch: bundle in place")
    return load_as(version, folder)


def load_as(version: Version, folder: Path) -> LoadedBundle:
    """Return the checked bundle in `folder`; BundleError when it is not the one that was registered."""
    loaded = load_bundle(folder)
    if loaded.sha256 != version.bundle_sha256:
        raise BundleError(f"bundle {folder} is not the one that was registered as {version.title}")
    return loaded


def download_bundle(tracker: Tracker, version: Version, folder: Path) -> LoadedBundle:
    """Copy the bundle of a version from MLflow to the new `folder`, and check it there.

    Only the files of a bundle are taken, by their known names.
    """
    with tracker.errors():
        listed = {Path(file.path).name: file for file in tracker.client.list_artifacts(version.run_id, BUNDLE_ARTIFACT)}
    if set(listed) != set(FILES):
        wrong = ", ".join(sorted(set(listed) ^ set(FILES)))
        raise BundleError(f"bundle of {version.title} in MLflow: lacks files or has others: {wrong}")
    if large := [name for name, file in listed.items() if (file.file_size or 0) > MAX_FILE_BYTES]:
        raise BundleError(f"bundle of {version.title} in MLflow: {', '.join(large)} is too large")
    folder.mkdir()
    with tracker.errors(), tempfile.TemporaryDirectory(dir=folder.parent) as fetched:
        found = Path(tracker.client.download_artifacts(version.run_id, BUNDLE_ARTIFACT, fetched))
        for name in FILES:
            shutil.copyfile(found / name, folder / name)
    try:
        return load_as(version, folder)
    except BundleError as error:
        raise BundleError(str(error).replace(f"bundle {folder}", f"bundle of {version.title} in MLflow")) from None


def mend_bundle(tracker: Tracker, version: Version, home: Path) -> str:
    """Make sure that MLflow has the bundle and the model of a version; return a sentence on what was done, or "".

    Raises:
        BundleError: it is lost: neither MLflow nor this machine has it whole.
        StorageError: MLflow cannot be read or written.
    """
    try:
        with write_errors(home / BUNDLES), temporary_directory(home / BUNDLES) as work:
            loaded = download_bundle(tracker, version, work / "new")
            if has_model(tracker, version.run_id, loaded, work):
                return ""
            log_model(tracker, version.run_id, loaded)
            step_done("reconcile: model restored")
            return f"restored the model of {version.title} in MLflow from its bundle"
    except BundleError as error:
        lost = error
    try:
        local = load_as(version, bundle_folder(home, version))
    except BundleError:
        raise BundleError(f"{lost}; this machine has no whole copy of it") from None
    tracker.delete_artifacts(BUNDLE_ARTIFACT, version.run_id)
    log_model(tracker, version.run_id, local)
    step_done("reconcile: bundle restored")
    return f"restored from the copy on this machine: {lost}"


def sweep(home: Path, tracker: Tracker, registered: Iterable[str], folders: Iterable[str]) -> list[str]:
    """Remove what runs without a version left in `folders` of the home; return a sentence for each.

    Of these, runs that go on are left alone, and those that MLflow knows nothing of.

    Args:
        home: folder of all state.
        tracker: knows how a run ended.
        registered: ids of the runs that have a version, or may get one.
        folders: names of the folders to look into.
    """
    done, kept = [], set(registered)
    for path in sorted(path for name in folders for path in (home / name).glob("*-*-*")):
        run_id = path.name.rpartition("-")[2]
        if RUN_ID.fullmatch(run_id) and run_id not in kept and tracker.ended_without_success(run_id):
            shutil.rmtree(path)
            step_done("settle: leftovers removed")
            done.append(f"removed {path}, left by run {run_id}, which was cut off before it was registered")
    return done
