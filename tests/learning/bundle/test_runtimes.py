"""The files of the network score as the policy does, unknown features and any number of rows included."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from learning.bundle.load import load_bundle
from learning.bundle.onnx import onnx_scorer
from tests.learning.bundle.bundles import N_FEATURES, SmallPolicy, random_states, trained_scores


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
