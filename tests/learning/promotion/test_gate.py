"""The gate: every check passes and fails, and the verdict is that of all of them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.analysis.metrics import Score
from learning.evaluation.evaluate import Comparison
from learning.evaluation.intervals import Difference
from learning.promotion.challenge import CHAMPION
from learning.promotion.gate import Check, Evidence, Verdict, verdict
from learning.promotion.latency import Latency, decision_latency
from learning.promotion.problem import JudgedSpan
from schemas.errors import ConfigError
from schemas.options.gate import GateConfig
from schemas.options.train import TrainConfig, parse
from tests.learning.promotion.judged_bundles import make_bundle, recorded

DEFAULTS = GateConfig()


def score(ratio: float | None, stale_ratio: float | None = 0.2) -> Score:
    return Score(5_000, ratio, ratio, ratio, None, None, stale_ratio, ratio)


def evidence(difference: Difference | None = None, **changes: Any) -> Evidence:
    """A challenger that is .02 better than the champion, and passes."""
    difference = difference or Difference(0.02, 0.01, 0.03)
    span = JudgedSpan(1_000, 5_000, datetime(2026, 1, 1, tzinfo=UTC), True)
    found = Evidence(
        opponent=CHAMPION,
        comparison=Comparison(difference, difference),
        challenger_score=score(0.42),
        opponent_score=score(0.40),
        judged=span,
        policy_bytes=20_000,
        latency=Latency(60.0, 110.0),
    )
    return replace(found, **changes)


def failed(found: Evidence, **options: Any) -> list[str]:
    """The names of the checks that fail, whose details are the reasons."""
    said = verdict(found, GateConfig(**options))
    fails = [check for check in said.checks if not check.passed]
    assert list(said.reasons) == [check.detail for check in fails]
    return [check.name for check in fails]


def test_a_clear_improvement_passes_every_check() -> None:
    said = verdict(evidence(), DEFAULTS)
    assert (said.passed, said.reasons) == (True, ())
    assert [check.name for check in said.checks] == [
        *("improvement", "hit_ratio", "byte_hit_ratio", "saved_load_time_ratio", "stale_ratio"),
        *("judged requests", "policy size", "latency"),
    ]
    assert said.checks[0].detail == (
        "its value ratio differs by +0.0200 from that of the champion, 95 % interval +0.0100 to +0.0300: "
        "its low end must be above +0.0000"
    )


@pytest.mark.parametrize(
    ("difference", "options", "passes"),
    [
        (Difference(0.02, 0.001, 0.04), {}, True),
        (Difference(0.02, 0.0, 0.04), {}, False),
        (Difference(0.02, -0.001, 0.04), {}, False),
        (Difference(0.02, -0.001, 0.04), {"by_interval": False}, True),
        (Difference(0.0, 0.0, 0.0), {}, False),
        (Difference(0.0, 0.0, 0.0), {"by_interval": False}, False),
        (Difference(0.0, 0.0, 0.0), {"min_improvement": -0.001}, True),
        (Difference(0.02, 0.015, 0.04), {"min_improvement": 0.015}, False),
        (Difference(0.02, 0.016, 0.04), {"min_improvement": 0.015}, True),
        (Difference(0.02, None, None), {}, False),
        (Difference(0.02, None, None), {"by_interval": False}, True),
        (Difference(-0.02, None, None), {"by_interval": False}, False),
    ],
)
def test_the_improvement_must_be_more_than_is_asked_for(
    difference: Difference, options: dict[str, Any], passes: bool
) -> None:
    assert failed(evidence(difference), **options) == ([] if passes else ["improvement"])


def test_a_missing_interval_is_said() -> None:
    said = verdict(evidence(Difference(0.02, None, None)), DEFAULTS)
    assert "without an interval, as too few requests judge" in said.reasons[0]


@pytest.mark.parametrize("metric", ["hit_ratio", "byte_hit_ratio", "saved_load_time_ratio", "stale_ratio"])
def test_each_guard_metric_may_be_a_little_worse_and_no_more(metric: str) -> None:
    worse = 1 if metric == "stale_ratio" else -1
    for loss, fails in ((0.009, []), (0.011, [metric]), (-0.1, [])):
        ours = replace(score(0.4), **{metric: 0.5 + worse * loss})
        theirs = replace(score(0.4), **{metric: 0.5})
        assert failed(evidence(challenger_score=ours, opponent_score=theirs)) == fails
        assert failed(evidence(challenger_score=ours, opponent_score=theirs), guard_metrics=()) == []
        assert failed(evidence(challenger_score=ours, opponent_score=theirs), max_loss=0.2) == []
    assert f"it may be 0.01 {'higher' if worse > 0 else 'lower'} at most" in next(
        check.detail for check in verdict(evidence(), DEFAULTS).checks if check.name == metric
    )


def test_a_metric_that_one_of_them_lacks_is_not_checked_and_that_is_said() -> None:
    said = verdict(evidence(challenger_score=score(0.42, None)), DEFAULTS)
    assert said.passed
    assert said.checks[4] == Check(
        "stale_ratio", True, "the stale ratio is not known of both, so that it is not checked"
    )


def test_without_a_champion_nothing_is_to_be_guarded_and_the_improvement_still_counts() -> None:
    """A first policy for load times may give up hits of LRU, which serves nobody; it must be worth more even so."""
    found = evidence(opponent="lru", challenger_score=score(0.3, 0.9), opponent_score=score(0.4, 0.1))
    assert failed(found, max_loss=0.0) == []
    said = verdict(found, DEFAULTS)
    assert "from that of LRU, 95 % interval" in said.checks[0].detail
    assert said.checks[1].detail == ("its hit ratio is 0.3000, that of LRU 0.4000: not checked without a champion")
    worse = evidence(Difference(-0.02, -0.03, -0.01), opponent="lru")
    assert failed(worse) == ["improvement"]


@pytest.mark.parametrize(
    ("option", "name", "limit", "beyond"),
    [
        ("max_policy_bytes", "policy size", 20_000, 19_999),
        ("max_latency_us", "latency", 110.0, 109.0),
        ("min_judged", "judged requests", 5_000, 5_001),
    ],
)
def test_each_limit_holds_up_to_itself(option: str, name: str, limit: float, beyond: float) -> None:
    assert failed(evidence(), **{option: limit}) == []
    assert failed(evidence(), **{option: beyond}) == [name]


def test_it_says_whether_what_judges_is_later_than_the_training() -> None:
    early = replace(evidence().judged, later=False)
    assert (
        "5,000 requests judge, not all of them later than" in verdict(evidence(judged=early), DEFAULTS).checks[5].detail
    )


checks = st.builds(Check, st.text(max_size=5), st.booleans(), st.text(max_size=5))


@given(st.lists(checks, max_size=6))
def test_it_passes_exactly_when_all_checks_do(found: list[Check]) -> None:
    said = Verdict(tuple(found))
    assert said.passed == all(check.passed for check in found) == (not said.reasons)
    document = said.as_dict()
    assert document["passed"] == said.passed
    assert [check["detail"] for check in document["checks"] if not check["passed"]] == document["reasons"]


@given(
    least=st.floats(0, 1),
    by_interval=st.booleans(),
    max_loss=st.floats(0, 1),
    ratio=st.floats(0, 1),
    stale_ratio=st.none() | st.floats(0, 1),
)
def test_a_policy_never_replaces_itself(
    least: float, by_interval: bool, max_loss: float, ratio: float, stale_ratio: float | None
) -> None:
    same = score(ratio, stale_ratio)
    found = evidence(Difference(0.0, 0.0, 0.0), challenger_score=same, opponent_score=same)
    assert failed(found, min_improvement=least, by_interval=by_interval, max_loss=max_loss) == ["improvement"]


def test_wrong_options_are_named() -> None:
    for options, told in (
        ({"guard_metrics": ["hits"]}, "guard_metrics.0: Input should be 'hit_ratio'"),
        ({"max_loss": -0.1}, "max_loss: "),
        ({"max_latency_us": "inf"}, "max_latency_us: "),
    ):
        with pytest.raises(ConfigError, match=told):
            parse(GateConfig, options)


def test_decisions_are_timed(tmp_path: Any) -> None:
    for decision in ("eviction", "admission"):
        bundle = make_bundle(tmp_path / decision, recorded(), TrainConfig(decision=decision, cache_size=60))
        found = decision_latency(bundle, calls=200)
        assert 0 < found.median_us <= found.p99_us < 1e6
