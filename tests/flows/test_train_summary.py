"""The verdict claims no more than the interval allows."""

from typing import Any

import pytest

from flows.train_summary import NO_INTERVAL, summary


def score(ratio: float) -> dict[str, Any]:
    return {"hit_ratio": ratio, "byte_hit_ratio": ratio, "saved_load_time_ratio": None, "value_ratio": ratio}


def compared(difference: float, low: float | None, high: float | None) -> dict[str, Any]:
    found = {"difference": difference, "low": low, "high": high}
    return {"value_ratio": found, "hit_ratio": found}


def result(**changes: Any) -> dict[str, Any]:
    """A learned policy at .45 among LRU at .40 and ARC at .43, below an optimum of .60."""
    others = {"arc": compared(0.02, 0.01, 0.03), "lru": compared(0.05, 0.04, 0.06)}
    values: dict[str, Any] = {
        "algorithm": "ppo",
        "model": {"name": "cache-policy-eviction", "version": 3, "stage": "None"},
        "run_id": "abc",
        "bundle": "var/bundles/x",
        "report": "var/reports/x",
        "tracking_uri": "http://localhost:5000",
        "data": {"requests": 10_000, "training_requests": 6_000, "distinct_keys": 500},
        "cache": {"objects": 50},
        "cache_weights": {},
        "key_sample": 1.0,
        "test": {
            "policy": score(0.45),
            "variants": {},
            "baselines": {"lru": score(0.40), "arc": score(0.43)},
            "bounds": {"belady": score(0.59), "optimum": score(0.60)},
            "comparisons": {"policy": others},
        },
        "best_baseline": "arc",
        "bound": "optimum",
        "gap_closed": 0.25,
        "gaps_closed": {"policy": 0.25, "lru": 0.0, "arc": 0.15},
        "seeds": None,
    }
    return values | changes


def told(found: dict[str, Any]) -> str:
    """The verdict when the learned policy compares with the best baseline like that."""
    base = result()
    comparisons = {"policy": {"arc": found, "lru": compared(0.05, 0.04, 0.06)}}
    return summary(base | {"test": base["test"] | {"comparisons": comparisons}})


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            compared(0.02, 0.01, 0.03),
            "The learned policy beats the best baseline in hindsight, arc: +0.0200, 95 % interval +0.0100 to +0.0300.",
        ),
        (
            compared(-0.02, -0.03, -0.01),
            "The learned policy does not beat the best baseline in hindsight, arc, it is worse: "
            "-0.0200, 95 % interval -0.0300 to -0.0100.",
        ),
        (
            compared(0.02, -0.01, 0.05),
            "No clear difference between the learned policy and the best baseline in hindsight, arc: "
            "+0.0200, 95 % interval -0.0100 to +0.0500.",
        ),
        (
            compared(0.0, 0.0, 0.0),
            "No clear difference between the learned policy and the best baseline in hindsight, arc: "
            "+0.0000, 95 % interval +0.0000 to +0.0000.",
        ),
        (
            compared(0.02, None, None),
            f"The learned policy is at +0.0200 of the best baseline in hindsight, arc: {NO_INTERVAL}.",
        ),
    ],
)
def test_the_word_follows_the_interval(found: dict[str, Any], sentence: str) -> None:
    assert sentence in told(found).splitlines()


def test_the_gap_is_that_to_the_bound_which_is_named() -> None:
    text = summary(result())
    assert "The learned policy closes 25.0% of the gap from LRU to the bound, optimum." in text
    assert "closes" not in summary(result(gaps_closed={"policy": None, "lru": None, "arc": None}))


def test_variants_stand_under_the_learned_policy_and_have_a_verdict_of_their_own() -> None:
    base = result()
    against = {
        "policy": compared(0.01, 0.005, 0.015),
        "arc": compared(0.03, 0.02, 0.04),
        "lru": compared(0.06, 0.05, 0.07),
    }
    test = base["test"] | {
        "variants": {"online": score(0.46)},
        "comparisons": base["test"]["comparisons"] | {"online": against},
    }
    lines = summary(base | {"test": test, "gaps_closed": base["gaps_closed"] | {"online": 0.3}}).splitlines()
    labels = [line.split("  ")[1] for line in lines if line.startswith("  ")]
    names = ["policy", "ppo (learned)", "ppo (online)", "arc", "lru"]
    assert labels == [*names, "belady (knows the future)", "optimum (knows the future)"]
    assert "The online policy beats the learned policy: +0.0100, 95 % interval +0.0050 to +0.0150." in lines
    assert "The online policy closes 30.0% of the gap from LRU to the bound, optimum." in lines


def test_what_decides_is_in_the_table_where_it_is_no_plain_ratio() -> None:
    heading = next(line for line in summary(result()).splitlines() if line.startswith("  policy"))
    assert heading.split("  ")[-1] == "gap closed"
    assert "value ratio" not in heading
    weighted = summary(result(cache_weights={"size_bytes": 1.0, "load_time_ms": 1.0}))
    assert "value ratio  gap closed" in weighted
