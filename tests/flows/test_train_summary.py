"""The verdict claims no more than the interval allows."""

from typing import Any

import pytest

from flows.shared.train_summary import summary
from tasks.reports.scores_text import NO_INTERVAL


def score(ratio: float) -> dict[str, Any]:
    values = {"hit_ratio": ratio, "byte_hit_ratio": ratio, "value_ratio": ratio}
    return values | {"saved_load_time_ratio": None, "stale_ratio": None}


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
        "reference": "lru",
        "decision": {"name": "eviction", "eviction": None, "staleness_weight": 0.0},
        "staleness": None,
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


def test_of_times_to_live_the_heading_says_what_is_decided_and_the_stale_hits_are_shown() -> None:
    base = result(decision={"name": "ttl", "eviction": "s3-fifo", "staleness_weight": 1.5}, reference="s3-fifo")
    scores = {name: score(0.4) | {"stale_ratio": 0.25} for name in ("s3-fifo", "ttl 60 s")}
    test = {**base["test"], "policy": score(0.45) | {"stale_ratio": 0.125}, "baselines": scores, "bounds": {}}
    lines = summary(base | {"test": test}).splitlines()
    assert lines[0].endswith("cache of 50 objects, decision ttl with eviction by s3-fifo, staleness weight 1.5:")
    heading = next(line for line in lines if line.startswith("  policy"))
    assert "stale ratio  value ratio" in heading
    assert "0.1250" in next(line for line in lines if line.startswith("  ppo (learned)"))
    assert "of the gap from s3-fifo to the bound" in "\n".join(lines)


def test_of_a_staleness_budget_the_endpoint_that_keeps_it_least_is_named() -> None:
    shares = {"/a": 0.02, "/b": 0.07, "/c": None}
    endpoints = {name: {"lifetime_s": 60.0, "stale_ratio": share} for name, share in shares.items()}
    text = summary(result(staleness={"budget": 0.05, "lru": score(0.3), "by_endpoint": endpoints}))
    assert "Staleness budget 0.05: kept by 1 of 2 endpoints with hits on the held-out requests" in text
    assert "the most has /b, 0.0700. Under the same times to live LRU hits 0.3000." in text
    unused = {"/c": {"lifetime_s": 0.0, "stale_ratio": None}}
    assert "no endpoint has a hit" in summary(
        result(staleness={"budget": 0.0, "lru": score(0.0), "by_endpoint": unused})
    )
