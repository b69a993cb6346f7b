"""Loading a bundle: nothing that was changed is loaded, and what is wrong is said on one line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from learning.bundle.load import FILES, bundle_sha256, load_bundle
from learning.bundle.torch_script import quiet_torch
from schemas.bundle import SCHEMA_VERSION, PolicyDescription
from schemas.errors import BundleError
from tests.learning.bundle.bundles import (
    N_CANDIDATES,
    description,
    export,
    forge_file,
    forge_metadata,
    rewrite_metadata,
)

REPOSITORY = Path(__file__).parents[3]


def test_metadata_survives_the_round_trip(exported: Path) -> None:
    loaded = load_bundle(exported).metadata
    assert PolicyDescription(**{k: v for k, v in dict(loaded).items() if k in PolicyDescription.model_fields}) == (
        description()
    )


def test_the_digest_names_the_contents(exported: Path, bundle: Path, tmp_path: Path) -> None:
    assert bundle_sha256(bundle) == bundle_sha256(exported) == load_bundle(bundle).sha256
    assert bundle_sha256(export(tmp_path / "other", seed=1)) != bundle_sha256(exported)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name} missing"):
        load_bundle(bundle)


def test_an_extra_file_is_refused(bundle: Path) -> None:
    (bundle / "payload.pkl").touch()
    with pytest.raises(BundleError, match=r"payload\.pkl does not belong"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_plain_file_is_not_even_opened(bundle: Path, name: str, make: Callable[[Path], object]) -> None:
    (bundle / name).unlink()
    make(bundle / name)
    with pytest.raises(BundleError, match=f"{name} is a link or no plain file"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_link_is_refused_even_to_the_right_content(bundle: Path, exported: Path, name: str) -> None:
    (bundle / name).unlink()
    (bundle / name).symlink_to(exported / name)
    with pytest.raises(BundleError, match=f"{name} is a link"):
        load_bundle(bundle)


def test_a_link_to_the_whole_bundle_is_followed(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(exported)
    assert load_bundle(tmp_path / "current").sha256 == bundle_sha256(exported)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_ten_gigabytes_is_refused_before_it_is_read(bundle: Path, name: str) -> None:
    os.truncate(bundle / name, 10 * 10**9)  # sparse: takes no room on the disk
    with pytest.raises(BundleError, match=f"{name} has 10,000,000,000 bytes"):
        load_bundle(bundle)


@pytest.mark.parametrize("make", [lambda path: None, Path.touch, os.mkfifo])
def test_what_is_no_folder_is_one_line(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"No such file|Not a directory") as caught:
        load_bundle(tmp_path / "nowhere")
    assert "\n" not in str(caught.value)


def test_the_name_of_an_added_file_cannot_break_the_line(bundle: Path) -> None:
    (bundle / "a\n\x1b[2Jb").touch()
    with pytest.raises(BundleError, match="does not belong") as caught:
        load_bundle(bundle)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (1, "older, export it again"),
        (3, "newer, update this program"),
        (None, "null|None.*export it again"),
        ("2", "export it again"),
    ],
)
def test_another_schema_is_refused_before_anything_else(bundle: Path, version: Any, remedy: str) -> None:
    rewrite_metadata(bundle, schema_version=version, something_new=1)
    with pytest.raises(BundleError, match=f"has schema version .*, this program reads 2.*{remedy}"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"schema_version": NaN}',
        "[" * 100_000,
        '{"schema_version": 2, "x": 1e999}',
        '{"schema_version": 2, "schema_version": 2}',
        '{"schema_version": 2, "x": {"a": 1, "a": 1}}',
        f'{{"schema_version": 2, "x": {"[" * 900 + "]" * 900}}}',
        '{"schema_version": ' + "9" * 5_000 + "}",
        '{"schema_version": 2, "x": "\\ud800"}',
    ],
)
def test_metadata_that_is_no_plain_json_object_is_one_line(bundle: Path, text: str) -> None:
    (bundle / "metadata.json").write_text(text)
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_metadata_is_utf_8(bundle: Path, encoding: str) -> None:
    path = bundle / "metadata.json"
    path.write_text(path.read_text(), encoding=encoding)
    with pytest.raises(BundleError, match="is not valid JSON"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    "changes",
    [{"history_keys": 901}, {"algorithm": "ppo"}, {"created_at": "2026-01-02T00:00:01Z"}, {"sha256": "0" * 64}],
)
def test_a_changed_field_of_the_metadata_is_refused(bundle: Path, changes: dict[str, Any]) -> None:
    rewrite_metadata(bundle, **changes)
    with pytest.raises(BundleError, match=r"metadata\.json was changed"):
        load_bundle(bundle)
    with pytest.raises(BundleError, match=r"metadata\.json was changed"):
        bundle_sha256(bundle)


def test_features_in_another_order_are_refused(bundle: Path) -> None:
    features = json.loads((bundle / "metadata.json").read_text())["features"]
    rewrite_metadata(bundle, features=features[::-1])
    with pytest.raises(BundleError, match=r"metadata\.json was changed"):
        load_bundle(bundle)


def test_metadata_laid_out_anew_is_the_same_bundle(bundle: Path, exported: Path) -> None:
    document = json.loads((bundle / "metadata.json").read_text())
    (bundle / "metadata.json").write_text(json.dumps(dict(reversed(document.items())), separators=(",", ":")))
    assert load_bundle(bundle).sha256 == bundle_sha256(exported) == document["sha256"]


def test_an_unknown_field_of_the_metadata_is_named(bundle: Path) -> None:
    forge_metadata(bundle, surprise=1)
    with pytest.raises(BundleError, match="surprise"):
        load_bundle(bundle)


@pytest.mark.parametrize("change", [{"../policy.pt": "0" * 64}, {"README.md": None}])
def test_the_metadata_lists_our_files_and_no_other(bundle: Path, change: dict[str, str | None]) -> None:
    files = json.loads((bundle / "metadata.json").read_text())["files"] | change
    forge_metadata(bundle, files={name: sha256 for name, sha256 in files.items() if sha256})
    with pytest.raises(BundleError, match=r"files must list policy\.pt, policy\.onnx, golden\.json, README\.md"):
        load_bundle(bundle)


def test_a_forged_network_is_betrayed_by_the_golden_rows(bundle: Path, tmp_path: Path) -> None:
    other = export(tmp_path / "other", seed=1)
    forge_file(bundle, "policy.pt", (other / "policy.pt").read_bytes())
    with pytest.raises(BundleError, match=r"policy\.pt against golden\.json: state"):
        load_bundle(bundle)


def test_a_pickle_in_place_of_the_network_is_not_run(bundle: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    forge_file(bundle, "policy.pt", f"cos\nsystem\n(S'touch {witness}'\ntR.".encode())
    with pytest.raises(BundleError, match="no TorchScript"):
        load_bundle(bundle)
    assert not witness.exists()


def test_golden_decisions_must_follow_from_the_scores(bundle: Path) -> None:
    golden = json.loads((bundle / "golden.json").read_text())
    golden["decisions"][3] = (golden["decisions"][3] + 1) % N_CANDIDATES
    forge_file(bundle, "golden.json", json.dumps(golden).encode())
    with pytest.raises(BundleError, match="decisions"):
        load_bundle(bundle)


def test_golden_states_of_uneven_shape_are_refused(bundle: Path) -> None:
    golden = json.loads((bundle / "golden.json").read_text())
    golden["inputs"][0].pop()
    forge_file(bundle, "golden.json", json.dumps(golden).encode())
    with pytest.raises(BundleError, match="differ in shape"):
        load_bundle(bundle)


@pytest.mark.parametrize("number", [1e39, -1e300])
@pytest.mark.parametrize("field", ["inputs", "scores"])
def test_golden_numbers_beyond_32_bits_are_refused(bundle: Path, field: str, number: float) -> None:
    golden = json.loads((bundle / "golden.json").read_text())
    state = golden[field][0]
    (state[0] if field == "inputs" else state)[0] = number
    forge_file(bundle, "golden.json", json.dumps(golden).encode())
    with pytest.raises(BundleError, match=r"golden\.json: .* infinite"):
        load_bundle(bundle)


def test_a_network_that_raises_is_refused(bundle: Path) -> None:
    class Raises(nn.Module):
        def forward(self, raw: torch.Tensor) -> torch.Tensor:
            return raw @ torch.zeros(3, 1)

    with quiet_torch():
        torch.jit.script(Raises()).save(bundle / "forged.pt")
    forged = (bundle / "forged.pt").read_bytes()
    (bundle / "forged.pt").unlink()
    forge_file(bundle, "policy.pt", forged)
    with pytest.raises(BundleError, match="cannot score it"):
        load_bundle(bundle)


WITHOUT_LEARNING = """
import sys
for name in sys.argv[2:]:
    sys.modules[name] = None  # cannot be imported
import pathlib
from learning.bundle.load import load_bundle
print(load_bundle(pathlib.Path(sys.argv[1])).sha256)
"""


def test_a_bundle_loads_where_no_learning_library_is_installed(exported: Path) -> None:
    missing = ("stable_baselines3", "gymnasium", "onnx", "onnxruntime", "mlflow", "prefect", "sqlalchemy", "pandas")
    command = [sys.executable, "-c", WITHOUT_LEARNING, str(exported), *missing]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, bundle_sha256(exported)), done.stderr


def test_the_example_in_java_reads_this_schema_and_these_files() -> None:
    source = (REPOSITORY / "examples/java/src/main/java/cachepolicy/Bundle.java").read_text()
    assert f"SCHEMA_VERSION = {SCHEMA_VERSION};" in source
    assert all(f'"{name}"' in source for name in FILES)
