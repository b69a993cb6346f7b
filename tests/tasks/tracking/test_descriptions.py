"""What people read of a version claims what the bundle holds, and no more."""

from typing import Any

import pytest

from schemas.bundle import BundleMetadata
from tasks.tracking.descriptions import model_description, run_description, version_description, version_tags
from tests.learning.bundle.bundles import description


def score(ratio: float) -> dict[str, Any]:
    values = dict.fromkeys(("hit_ratio", "byte_hit_ratio", "value_ratio"), ratio)
    return values | {"saved_load_time_ratio": None, "stale_ratio": None}


def evaluation(difference: float, low: float, high: float) -> dict[str, Any]:
    found = {"value_ratio": {"difference": difference, "low": low, "high": high}}
    return {
        "test": {
            "policy": score(0.45),
            "variants": {"guarded": score(0.44)},
            "baselines": {"lru": score(0.40), "arc": score(0.43)},
            "bounds": {"optimum": score(0.60)},
            "comparisons": {"policy": {"arc": found}, "guarded": {"arc": found}},
        },
        "best_baseline": "arc",
        "bound": "optimum",
        "reference": "lru",
        "gap_closed": 0.25,
        "gaps_closed": {"policy": 0.25, "guarded": 0.2, "lru": 0.0, "arc": 0.15},
    }


def metadata(**changes: Any) -> BundleMetadata:
    return BundleMetadata(
        **{**dict(description()), "evaluation": evaluation(0.02, 0.01, 0.03), **changes}, files={}, sha256="0" * 64
    )


def test_a_version_reads_like_a_result() -> None:
    text = version_description(metadata())
    assert text.startswith("**DQN decides which object leaves a full cache of 100 objects.**")
    assert "- Hit ratio 0.4500." in text
    assert "beats the best baseline in hindsight, arc: +0.0200, 95 % interval +0.0100 to +0.0300." in text
    assert "closes 25.0% of the gap from LRU to the bound, optimum." in text
    assert "| Features | 6: f0, f1, f2, f3, f4, f5 |" in text
    assert "guarded" not in text  # the bundle is the frozen policy


def test_a_version_that_does_not_beat_the_baseline_says_so() -> None:
    assert "does not beat the best baseline" in version_description(metadata(evaluation=evaluation(-0.2, -0.3, -0.1)))
    assert "No clear difference" in version_description(metadata(evaluation=evaluation(0.0, -0.1, 0.1)))


def test_a_version_without_evaluation_claims_nothing() -> None:
    text = version_description(metadata(evaluation={}))
    assert "It was not evaluated." in text
    assert "ratio" not in text


def test_weights_are_told_and_the_value_ratio_comes_first() -> None:
    text = version_description(metadata(objective={"load_time_ms": 1.0}))
    assert text.index("Value ratio 0.4500") < text.index("Hit ratio 0.4500")
    assert "a hit is worth load_time_ms=1" in text


def test_the_description_of_a_run_has_a_row_a_policy() -> None:
    rows = [line for line in run_description(metadata()).splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows[:7]] == [
        "policy",
        "---",
        "dqn (learned)",
        "dqn (guarded)",
        "arc",
        "lru",
        "optimum (knows the future)",
    ]
    assert len({row.count("|") for row in rows[:7]}) == 1


def test_a_feature_whose_name_has_a_bar_does_not_break_the_table() -> None:
    feature = description().features[0].model_copy(update={"name": "a|b"})
    assert "1: a\\|b" in version_description(metadata(features=(feature,)))


def test_tags_say_what_versions_are_searched_by() -> None:
    found = version_tags(metadata())
    assert (found["decision"], found["algorithm"], found["capacity"]) == ("eviction", "dqn", "100 objects")
    assert found["data_fingerprint"] == "0" * 64


@pytest.mark.parametrize("decision", ["eviction", "admission", "ttl"])
def test_each_registered_model_is_described(decision: Any) -> None:
    assert "champion" in model_description(decision)
