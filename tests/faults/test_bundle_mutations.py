"""100,000 mutated bundles: none loads unless it is equal in content, each is refused on one line, no process dies."""

import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from learning.bundle.load import load_bundle
from schemas.errors import BundleError
from tests.faults.bundle_mutations import BYTES, changed_json, read, write
from tests.learning.bundle.bundles import export, forge_file, forge_metadata

REPOSITORY = Path(__file__).parents[2]
SEEDS, EACH = (0, 1), 50_000


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A new folder, on a disk in memory where there is one: each example writes twice."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_mutated_bundle_loads_only_when_it_is_equal_in_content(in_memory: Path, seed: int) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.faults.bundle_mutations", in_memory, str(seed), str(EACH)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]  # below 0: a signal ended it
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["refused"] + found["loaded"] == EACH
    assert found["loaded"] > 10  # metadata that were only laid out anew


@pytest.mark.parametrize("name", ["metadata.json", "golden.json", "policy.pt"])
def test_a_forger_meets_an_error_line_at_worst(in_memory: Path, name: str) -> None:
    """With all hashes made right again a changed value may load; what cannot be used is refused without a traceback."""
    bundle, rng, refusals = export(in_memory / "bundle"), random.Random(0), []
    original = read(bundle)
    for _ in range(300):
        if name == "metadata.json":
            document = json.loads(changed_json(rng, original[name]))
            (bundle / name).write_text("{}")
            forge_metadata(bundle, **document)
        else:
            change = changed_json if name == "golden.json" else rng.choice(BYTES)
            forge_file(bundle, name, change(rng, original[name]))
        try:
            load_bundle(bundle)
        except BundleError as error:
            refusals.append(str(error))
        write(str(bundle), original)
    assert len(refusals) > 100
    assert all(line.isprintable() for line in refusals)
