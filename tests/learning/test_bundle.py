"""The exported bundle: what is written is what was trained, whole or not at all, and nothing changed is loaded."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

import learning.bundle
from learning.bundle import FILES, WORK_PREFIX, bundle_sha256, export_bundle, load_bundle
from learning.onnx_export import onnx_scorer
from learning.owner import current_owner
from schemas.bundle import Candidates, Capacity, DataSummary, Feature, PolicyDescription, Span
from schemas.errors import BundleError

REPOSITORY = Path(__file__).parents[2]
N_FEATURES = 6
N_CANDIDATES = 16


class SmallPolicy(nn.Module):
    """A scorer with transforms by column: log2 of a count that may be missing, signed log2, and a plain value."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.first = nn.Linear(N_FEATURES, 32)
        self.last = nn.Linear(32, 1)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)
        self.register_buffer("is_count", torch.arange(N_FEATURES) < 3)
        self.register_buffer("is_signed", torch.arange(N_FEATURES) == 3)
        self.register_buffer("missing", torch.full((N_FEATURES,), 20.0))
        self.register_buffer("mean", torch.rand(N_FEATURES, generator=generator) * 5)
        self.register_buffer("deviation", torch.rand(N_FEATURES, generator=generator) + 0.5)

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        known = torch.where(torch.isnan(raw), self.missing, raw)
        x = torch.where(self.is_count, torch.log2(1 + torch.clamp(known, min=0.0)), known)
        x = torch.where(self.is_signed, torch.sign(known) * torch.log2(1 + torch.abs(known)), x)
        x = torch.clamp((x - self.mean) / self.deviation, -8.0, 8.0)
        return self.last(torch.relu(self.first(x))).squeeze(-1)


def random_states(n_states: int, seed: int = 0) -> np.ndarray:
    """Raw features over many magnitudes, one in twenty unknown: float32 [n_states, K, f]."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(n_states, N_CANDIDATES, N_FEATURES)) * 10.0 ** rng.integers(-3, 7, (n_states, 1, 1))
    states[rng.random(states.shape) < 0.05] = np.nan
    return states.astype(np.float32)


def trained_scores(policy: nn.Module, states: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return policy(torch.from_numpy(states).reshape(-1, N_FEATURES)).reshape(states.shape[:2]).numpy()


def description(**changes: object) -> PolicyDescription:
    first, last = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    feature = Feature(name="f0", unit="requests", definition="age", transform="log2(1 + x)", missing="NaN")
    training = Span(requests=600, first_timestamp=first, last_timestamp=last)
    values: dict[str, object] = {
        "decision": "eviction",
        "algorithm": "dqn",
        "features": tuple(feature.model_copy(update={"name": f"f{i}"}) for i in range(N_FEATURES)),
        "candidates": Candidates(training=16, use=32),
        "action": "The candidate with the highest score is dropped.",
        "capacity": Capacity(limit=100, unit="objects", objects=100.0),
        "history_keys": 900,
        "objective": {},
        "data": DataSummary(
            fingerprint="0" * 64,
            requests=1000,
            distinct_keys=300,
            first_timestamp=first,
            last_timestamp=last,
            training=training,
        ),
        "seeds": {"run": 0},
        "hyperparameters": {"learning_rate": 2e-3, "net": [32, 32]},
        "versions": {"torch": torch.__version__},
        "evaluation": {"hit_ratio": 0.45},
        "created_at": last,
    }
    return PolicyDescription(**(values | changes))


def export(folder: Path, n_states: int = 50, seed: int = 0, **changes: object) -> Path:
    policy, states = SmallPolicy(seed), random_states(n_states)
    return export_bundle(policy, states, trained_scores(policy, states), description(**changes), folder)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("bundles") / "b1", n_states=10_000)


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def rewrite_metadata(bundle: Path, **changes: object) -> None:
    document = json.loads((bundle / "metadata.json").read_text())
    (bundle / "metadata.json").write_text(json.dumps(document | changes))


def replace_file(bundle: Path, name: str, content: bytes) -> None:
    """Replace a file and its hash: a forgery that only its meaning can betray."""
    (bundle / name).write_bytes(content)
    files = json.loads((bundle / "metadata.json").read_text())["files"]
    rewrite_metadata(bundle, files=files | {name: hashlib.sha256(content).hexdigest()})


def test_a_bundle_holds_the_documented_files_and_nothing_else(exported: Path) -> None:
    assert {p.name for p in exported.iterdir()} == set(FILES)
    assert [p.name for p in exported.parent.iterdir()] == ["b1"]


def test_both_networks_score_10_000_states_as_the_policy_does(exported: Path) -> None:
    policy, states = SmallPolicy(), random_states(10_000, seed=1)
    expected = trained_scores(policy, states).ravel()
    rows = states.reshape(-1, N_FEATURES)
    for scores in (load_bundle(exported).scores(rows), onnx_scorer(exported / "policy.onnx")(rows)):
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


def test_a_bare_torch_jit_load_reproduces_the_golden_rows(exported: Path) -> None:
    program = (
        "import json, torch, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "policy, golden = torch.jit.load('policy.pt'), json.load(open('golden.json'))\n"
        "with torch.inference_mode():\n"
        "    for state, scores, decision in zip(*(golden[k] for k in ('inputs', 'scores', 'decisions'))):\n"
        "        rows = torch.tensor([[float('nan') if x is None else x for x in row] for row in state])\n"
        "        got = policy(rows)\n"
        "        assert torch.equal(got, torch.tensor(scores)), (got, scores)\n"
        "        assert int(got.argmax()) == decision\n"
        "print(len(golden['inputs']))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=exported, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.strip()) == (0, "24"), result.stderr


def test_the_same_input_gives_the_same_bits_a_thousand_times(exported: Path) -> None:
    loaded, rows = load_bundle(exported), random_states(1)[0]
    assert len({loaded.scores(rows).tobytes() for _ in range(1000)}) == 1
    score = onnx_scorer(exported / "policy.onnx")
    assert len({score(rows).tobytes() for _ in range(1000)}) == 1


@pytest.mark.parametrize("n_rows", [0, 1, 7, 64])
def test_any_number_of_rows_is_scored_one_score_a_row(exported: Path, n_rows: int) -> None:
    rows = random_states(4).reshape(-1, N_FEATURES)[:n_rows]
    loaded = load_bundle(exported)
    alone = [loaded.scores(row[None])[0] for row in rows]
    np.testing.assert_allclose(loaded.scores(rows), alone, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(onnx_scorer(exported / "policy.onnx")(rows), alone, rtol=1e-5, atol=1e-5)


def test_the_onnx_file_suits_old_runtimes_and_uses_plain_operators(exported: Path) -> None:
    model = onnx.load(exported / "policy.onnx")
    onnx.checker.check_model(model)
    assert model.ir_version <= 8
    assert [(o.domain, o.version <= 17) for o in model.opset_import] == [("", True)]
    assert {node.domain for node in model.graph.node} == {""}


def test_no_file_names_a_folder_of_this_machine(exported: Path) -> None:
    content = b"".join(path.read_bytes() for path in exported.iterdir())
    with zipfile.ZipFile(exported / "policy.pt") as archive:
        content += b"".join(archive.read(name) for name in archive.namelist())
    assert str(Path(torch.__file__).parent).encode() not in content
    assert str(Path(__file__).parent).encode() not in content


def test_metadata_survives_the_round_trip(exported: Path) -> None:
    loaded = load_bundle(exported).metadata
    assert PolicyDescription(**{k: v for k, v in dict(loaded).items() if k in PolicyDescription.model_fields}) == (
        description()
    )


def test_the_json_files_hold_no_nan_and_no_infinity(exported: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for name in ("metadata.json", "golden.json"):
        json.loads((exported / name).read_text(), parse_constant=refuse)
    assert "null" in (exported / "golden.json").read_text()  # unknown features are there


def test_the_digest_names_the_contents(exported: Path, bundle: Path, tmp_path: Path) -> None:
    assert bundle_sha256(bundle) == bundle_sha256(exported) == load_bundle(bundle).sha256
    assert bundle_sha256(export(tmp_path / "other", seed=1)) != bundle_sha256(exported)


@given(name=st.sampled_from(sorted(set(FILES) - {"metadata.json"})), position=st.floats(0, 1, exclude_max=True))
def test_a_changed_byte_in_any_file_is_refused(exported: Path, name: str, position: float) -> None:
    path = exported / name
    original = path.read_bytes()
    changed = bytearray(original)
    changed[int(position * len(changed))] ^= 1
    path.write_bytes(changed)
    try:
        with pytest.raises(BundleError, match=f"{name} was changed"):
            load_bundle(exported)
    finally:
        path.write_bytes(original)


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
def test_a_link_is_refused_even_to_the_right_content(bundle: Path, exported: Path, name: str) -> None:
    (bundle / name).unlink()
    (bundle / name).symlink_to(exported / name)
    with pytest.raises(BundleError, match=f"{name} is a link"):
        load_bundle(bundle)


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No such file") as caught:
        load_bundle(tmp_path / "nowhere")
    assert "\n" not in str(caught.value)


def test_a_newer_schema_is_refused_before_anything_else(bundle: Path) -> None:
    rewrite_metadata(bundle, schema_version=2, something_new=1)
    with pytest.raises(BundleError, match="schema version 2, this program reads 1"):
        load_bundle(bundle)


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": NaN}', "[" * 100_000])
def test_metadata_that_is_no_json_object_is_one_line(bundle: Path, text: str) -> None:
    (bundle / "metadata.json").write_text(text)
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle)
    assert "\n" not in str(caught.value)


def test_an_unknown_field_of_the_metadata_is_named(bundle: Path) -> None:
    rewrite_metadata(bundle, surprise=1)
    with pytest.raises(BundleError, match="surprise"):
        load_bundle(bundle)


def test_a_forged_network_is_betrayed_by_the_golden_rows(bundle: Path, tmp_path: Path) -> None:
    other = export(tmp_path / "other", seed=1)
    replace_file(bundle, "policy.pt", (other / "policy.pt").read_bytes())
    with pytest.raises(BundleError, match=r"policy\.pt against golden\.json: state"):
        load_bundle(bundle)


def test_a_pickle_in_place_of_the_network_is_not_run(bundle: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    replace_file(bundle, "policy.pt", f"cos\nsystem\n(S'touch {witness}'\ntR.".encode())
    with pytest.raises(BundleError, match="no TorchScript"):
        load_bundle(bundle)
    assert not witness.exists()


def test_golden_decisions_must_follow_from_the_scores(bundle: Path) -> None:
    golden = json.loads((bundle / "golden.json").read_text())
    golden["decisions"][3] = (golden["decisions"][3] + 1) % N_CANDIDATES
    replace_file(bundle, "golden.json", json.dumps(golden).encode())
    with pytest.raises(BundleError, match="decisions"):
        load_bundle(bundle)


def test_golden_states_of_uneven_shape_are_refused(bundle: Path) -> None:
    golden = json.loads((bundle / "golden.json").read_text())
    golden["inputs"][0].pop()
    replace_file(bundle, "golden.json", json.dumps(golden).encode())
    with pytest.raises(BundleError, match="differ in shape"):
        load_bundle(bundle)


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
    write = getattr(learning.bundle, writer)
    monkeypatch.setattr(learning.bundle, writer, lambda policy, *rest: write(SmallPolicy(seed=1), *rest))
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
    program = "import sys, pathlib, tests.learning.test_bundle as t; t.export(pathlib.Path(sys.argv[1]))"
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], check=True, cwd=REPOSITORY)
    assert bundle_sha256(tmp_path / "a") == bundle_sha256(tmp_path / "b")


KILLED = """
import os, pathlib, signal, sys
import learning.bundle, tests.learning.test_bundle as t
setattr(learning.bundle, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
t.export(pathlib.Path(sys.argv[1]))
"""


@pytest.mark.parametrize("point", ["write_onnx", "_check_scores", "load_bundle", "_publish"])
def test_a_killed_export_leaves_no_bundle_and_the_next_one_cleans_up(tmp_path: Path, point: str) -> None:
    target = tmp_path / "b"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(target), point], check=False, cwd=REPOSITORY)
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists()
    assert [p.name.startswith(WORK_PREFIX) for p in tmp_path.iterdir()] == [True]
    export(target)
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


WATCHED = """
import os, pathlib, sys
import learning.bundle, tests.learning.test_bundle as t
target, files = sys.argv[1], set(learning.bundle.FILES)
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
    live = tmp_path / f"{WORK_PREFIX}0~{current_owner()}"
    elsewhere = tmp_path / f"{WORK_PREFIX}1~another-host~{os.getpid()}~1"
    for folder in (live, elsewhere):
        folder.mkdir()
    export(tmp_path / "b")
    assert {p.name for p in tmp_path.iterdir()} == {live.name, elsewhere.name, "b"}


def test_the_readme_names_every_feature_in_order(exported: Path) -> None:
    text = (exported / "README.md").read_text()
    positions = [text.index(f"`f{i}`") for i in range(N_FEATURES)]
    assert positions == sorted(positions)
    assert "@" not in text
