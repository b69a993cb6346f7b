"""The benchmarks run as commands and give what their readers rely on; how fast anything is, is not tested."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.peer import needs_peer

ROOT = Path(__file__).resolve().parents[1]


def run(name: str, *words: object, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )


def result(name: str, traces_dir: Path, *words: object) -> dict[str, Any]:
    done = run(name, "--json", *words, ERS_TRACES_DIR=str(traces_dir))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@needs_peer
def test_replays_are_compared_with_libcachesim_by_trace_capacity_and_policy(traces_dir: Path) -> None:
    words = ("--only-policies", "--policies", "lru", "--traces", "orm_busy", "--rounds", 1)
    rows = result("replay", traces_dir, *words)["rows"]
    assert [(row["trace"], row["capacity"], row["policy"]) for row in rows] == [
        ("orm_busy", 442, "lru"),
        ("orm_busy", 4418, "lru"),
    ]
    for row in rows:
        assert row["ratio"] == pytest.approx(row["ours_rps"] / row["peer_rps"], rel=1e-3)
        assert row["ours_hit_ratio"] == pytest.approx(row["peer_hit_ratio"], abs=1e-6)
        assert row["state_bytes_per_resident"] > 0


@pytest.mark.slow
def test_memory_is_the_same_after_ten_times_the_requests_and_keys(traces_dir: Path) -> None:
    rows = result("endless", traces_dir, "--requests", 20, "--policies", "lru", "lirs")["rows"]
    for row in rows:
        assert (row["requests"], row["distinct_keys"]) == (20_000_000, 883_560)
        assert row["mib_at_the_end"] < row["mib_at_a_tenth"] + 32
        assert row["resident_objects"] == 4_418


@pytest.mark.slow
def test_quality_gives_a_row_a_cell_and_algorithm_that_adds_up(traces_dir: Path) -> None:
    words = ("--seeds", 2, "--algorithms", "a2c", "--traces", "lirs_multi3", "--timesteps", 8_000)
    rows = result("quality", traces_dir, *words)["rows"]
    assert [(row["trace"], row["capacity_kind"], row["capacity"], row["algorithm"]) for row in rows] == [
        ("lirs_multi3", "objects", 75, "a2c"),
        ("lirs_multi3", "objects", 745, "a2c"),
    ]
    for row in rows:
        learned = [run["learned"] for run in row["runs"]]
        assert row["mean"] == pytest.approx(sum(learned) / 2)
        assert row["sd"] == pytest.approx(abs(learned[0] - learned[1]) / 2**0.5)
        assert row["lru"] <= row["guarded_against"] <= row["best_classical"] < row["bound"]
        assert max(row["mean"], row["online"], row["guarded"]) <= row["bound"]
        assert row["gap_closed"] == pytest.approx((row["mean"] - row["lru"]) / (row["bound"] - row["lru"]))
        assert row["seconds"] > 0


@pytest.mark.slow
def test_saved_time_compares_evictions_and_times_to_live_with_their_best_baseline(traces_dir: Path) -> None:
    words = ("--seeds", 1, "--algorithms", "a2c", "--requests", 12_000, "--timesteps", 4_096)
    rows = result("saved_time", traces_dir, *words)["rows"]
    assert [(row["decision"], row["fraction"]) for row in rows] == [
        (decision, fraction) for decision in ("eviction", "ttl") for fraction in (0.01, 0.1)
    ]
    for row in rows:
        assert row["mean"] == row["learned"][0]
        assert 0 < row["reference"] <= row["best"] < 1


def test_a_missing_trace_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = run("sampling", ERS_TRACES_DIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"error: no trace at {tmp_path}")
    assert "Traceback" not in done.stderr
