"""The export: what is written is what was given, whole or not at all."""

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import learning.bundle.export
from learning.bundle.export import export_bundle
from learning.bundle.load import FILES, bundle_sha256, load_bundle
from schemas.errors import BundleError
from support.atomic import TEMPORARY_PREFIX
from support.process_owner import current_owner
from tests.learning.bundle.bundles import N_FEATURES, SmallPolicy, description, export, random_states, trained_scores

REPOSITORY = Path(__file__).parents[3]


def test_a_bundle_holds_the_documented_files_and_nothing_else(exported: Path) -> None:
    assert {p.name for p in exported.iterdir()} == set(FILES)
    assert [p.name for p in exported.parent.iterdir()] == ["b1"]


def test_no_file_names_a_folder_of_this_machine(exported: Path) -> None:
    content = b"".join(path.read_bytes() for path in exported.iterdir())
    with zipfile.ZipFile(exported / "policy.pt") as archive:
        content += b"".join(archive.read(name) for name in archive.namelist())
    assert str(Path(torch.__file__).parent).encode() not in content
    assert str(Path(__file__).parent).encode() not in content


def test_the_json_files_hold_no_nan_and_no_infinity(exported: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for name in ("metadata.json", "golden.json"):
        json.loads((exported / name).read_text(), parse_constant=refuse)
    assert "null" in (exported / "golden.json").read_text()  # unknown features are there


def test_the_readme_names_every_feature_in_order(exported: Path) -> None:
    text = (exported / "README.md").read_text()
    positions = [text.index(f"`f{i}`") for i in range(N_FEATURES)]
    assert positions == sorted(positions)
    assert "@" not in text


def test_a_network_that_differs_from_the_trained_policy_is_never_seen(tmp_path: Path) -> None:
    policy, states = SmallPolicy(), random_states(50)
    scores = trained_scores(policy, states)
    scores[17, 3] += 1e-3
    with pytest.raises(BundleError, match="state 17, score 3"):
        export_bundle(policy, states, scores, description(), tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scale", [0.01, 1.0, 40.0])
def test_scores_may_differ_by_a_part_of_the_largest_of_them_and_no_more(tmp_path: Path, scale: float) -> None:
    policy, states = SmallPolicy(), random_states(50)
    for parameter in list(policy.parameters())[-2:]:
        parameter.data *= scale
    scores = trained_scores(policy, states)
    allowed = 1e-5 * max(1.0, float(np.abs(scores).max()))
    at = np.unravel_index(np.abs(scores).argmin(), scores.shape)  # a small score among large ones
    scores[at] += 0.5 * allowed
    folder = export_bundle(policy, states, scores, description(), tmp_path / "close")
    golden = json.loads((folder / "golden.json").read_text())
    assert golden["tolerance"] == pytest.approx(1e-5 * max(1.0, np.abs(golden["scores"]).max()))
    scores[at] += 1.5 * allowed
    with pytest.raises(BundleError, match="against the trained policy"):
        export_bundle(policy, states, scores, description(), tmp_path / "far")


@pytest.mark.parametrize("writer", ["write_onnx", "to_torch_script"])
def test_a_file_that_holds_another_network_is_never_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    write = getattr(learning.bundle.export, writer)
    monkeypatch.setattr(learning.bundle.export, writer, lambda policy, *rest: write(SmallPolicy(seed=1), *rest))
    with pytest.raises(BundleError, match="against the trained policy"):
        export(tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_scores_of_another_shape_are_refused(tmp_path: Path) -> None:
    class Column(SmallPolicy):
        def forward(self, raw: torch.Tensor) -> torch.Tensor:
            return super().forward(raw)[:, None]

    states = random_states(5)
    with pytest.raises(BundleError, match="is needed"):
        export_bundle(Column(), states, trained_scores(SmallPolicy(), states), description(), tmp_path / "b")


@pytest.mark.parametrize(
    ("states", "scores", "message"),
    [
        (np.full((2, 4, N_FEATURES), np.inf, np.float32), np.zeros((2, 4), np.float32), "infinite feature"),
        (np.zeros((2, 4, N_FEATURES), np.float32), np.full((2, 4), np.nan, np.float32), "NaN"),
        (np.zeros((2, 4, 3), np.float32), np.zeros((2, 4), np.float32), "as the features described"),
        (np.zeros((2, 4, N_FEATURES), np.float32), np.zeros((2, 5), np.float32), "as the states"),
        (np.zeros((0, 4, N_FEATURES), np.float32), np.zeros((0, 4), np.float32), "n_states"),
    ],
)
def test_states_that_prove_nothing_are_refused(
    tmp_path: Path, states: np.ndarray, scores: np.ndarray, message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        export_bundle(SmallPolicy(), states, scores, description(), tmp_path / "b")


@pytest.mark.parametrize("value", [float("nan"), [{"deep": float("inf")}]])
def test_a_number_that_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="finite"):
        description(evaluation={"hit_ratio": value})


def test_the_same_export_twice_leaves_the_first_as_it_is(tmp_path: Path) -> None:
    export(tmp_path / "b")
    digest = bundle_sha256(tmp_path / "b")
    assert export(tmp_path / "b") == tmp_path / "b"
    assert bundle_sha256(tmp_path / "b") == digest
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_another_policy_never_replaces_a_bundle(tmp_path: Path) -> None:
    export(tmp_path / "b")
    digest = bundle_sha256(tmp_path / "b")
    with pytest.raises(BundleError, match="holds another policy"):
        export(tmp_path / "b", seed=1)
    assert bundle_sha256(tmp_path / "b") == digest
    load_bundle(tmp_path / "b")


def test_an_export_does_not_pass_off_a_spoilt_bundle_as_its_own(tmp_path: Path) -> None:
    export(tmp_path / "b")
    (tmp_path / "b" / "policy.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"policy\.onnx was changed"):
        export(tmp_path / "b")


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    program = "import sys, pathlib, tests.learning.bundle.bundles as t; t.export(pathlib.Path(sys.argv[1]))"
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], check=True, cwd=REPOSITORY)
    assert bundle_sha256(tmp_path / "a") == bundle_sha256(tmp_path / "b")


KILLED = """
import os, pathlib, signal, sys
import learning.bundle.export, tests.learning.bundle.bundles as t
setattr(learning.bundle.export, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
t.export(pathlib.Path(sys.argv[1]))
"""


@pytest.mark.parametrize("point", ["write_onnx", "_check_scores", "load_bundle", "_publish"])
def test_a_killed_export_leaves_no_bundle_and_the_next_one_cleans_up(tmp_path: Path, point: str) -> None:
    target = tmp_path / "b"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(target), point], check=False, cwd=REPOSITORY)
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists()
    assert [p.name.startswith(TEMPORARY_PREFIX) for p in tmp_path.iterdir()] == [True]
    export(target)
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


WATCHED = """
import os, pathlib, sys
import learning.bundle.export, tests.learning.bundle.bundles as t
target, files = sys.argv[1], set(learning.bundle.export.FILES)
seen = []

def watch(event, arguments):
    if event in ("open", "os.rename", "os.mkdir", "shutil.copyfile", "os.remove") and os.path.isdir(target):
        seen.append({name for name in files if os.path.exists(f"{target}/{name}")})

sys.addaudithook(watch)
t.export(pathlib.Path(target))
assert all(names == files for names in seen), seen
assert seen  # the folder was seen before the export ended
"""


def test_at_no_moment_does_a_part_of_a_bundle_show(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WATCHED, str(tmp_path / "b")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr


def test_work_of_a_live_process_or_of_another_host_is_left_alone(tmp_path: Path) -> None:
    live = tmp_path / f"{TEMPORARY_PREFIX}0~{current_owner()}"
    elsewhere = tmp_path / f"{TEMPORARY_PREFIX}1~another-host~{os.getpid()}~1"
    for folder in (live, elsewhere):
        folder.mkdir()
    export(tmp_path / "b")
    assert {p.name for p in tmp_path.iterdir()} == {live.name, elsewhere.name, "b"}
