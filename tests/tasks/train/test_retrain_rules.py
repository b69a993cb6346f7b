"""Whether training is due, and on which requests: what is new is learned from and judges, and no option goes wrong."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError
from schemas.options.monitor import RetrainConfig
from schemas.options.train import TrainConfig, parse
from tasks.registry.trained_versions import TrainedVersion
from tasks.train.retrain_rules import plain_reason, share_to_read, too_few

NOW = datetime(2026, 3, 10, tzinfo=UTC)
CHAMPION = TrainedVersion(
    name="cache-policy-ttl",
    version=3,
    stage="Production",
    table="cache_metrics",
    watermark=None,
    trained_at=NOW - timedelta(days=2),
    cache_size=100,
    cache_bytes=None,
    awaits_judgement=False,
    since=None,
)


@given(
    new=st.integers(1_000, 10**7),
    older=st.integers(0, 10**9),
    most=st.none() | st.integers(1_000, 10**7),
    fraction=st.floats(0.05, 0.95),
)
def test_the_new_requests_judge_by_their_share_and_are_learned_from_too(new, older, most, fraction):
    config = RetrainConfig(max_queries=most, test_fraction=fraction, min_judged=1)
    share = share_to_read(config, new, new + older)
    TrainConfig(max_queries=share.requests, test_fraction=share.test_fraction)  # takes them
    assert share.requests <= min(new + older, most or new + older)
    judged = share.test_fraction * share.requests
    assert judged == pytest.approx(fraction * min(new, share.requests), rel=1e-3)


def test_all_is_read_where_all_is_new():
    share = share_to_read(RetrainConfig(), 50_000, 50_000)
    assert (share.requests, share.test_fraction) == (50_000, 0.4)


def test_a_small_share_of_new_requests_is_not_lost_among_the_old_ones():
    share = share_to_read(RetrainConfig(), 10_000, 1_000_000)
    assert (share.requests, share.test_fraction) == (80_000, pytest.approx(0.05))


def test_reasons_are_told_in_the_order_of_their_weight():
    config = RetrainConfig(always=True, max_age_days=1)
    assert plain_reason(config, None, NOW) == "no version is in Production yet"
    assert plain_reason(config, CHAMPION, NOW) == "asked for whenever there are enough new requests"
    aged = RetrainConfig(max_age_days=1)
    assert plain_reason(aged, CHAMPION, NOW) == "cache-policy-ttl version 3 is 2.0 days old: 1 are allowed"
    assert plain_reason(aged, replace(CHAMPION, trained_at=NOW), NOW) == ""
    assert plain_reason(RetrainConfig(), CHAMPION, NOW) == ""


def test_enough_is_what_was_asked_for():
    config = RetrainConfig(min_new_requests=2_000, min_judged=800)
    assert too_few(config, 2_000, CHAMPION) == ""
    assert too_few(config, 1_999, None) == "1,999 new requests: at least 2,000 are needed"


@pytest.mark.parametrize("option", ["min_new_requests", "max_queries"])
def test_requests_that_are_too_few_for_the_gate_are_refused_at_once(option):
    parse(RetrainConfig, {option: 2_500})
    with pytest.raises(ConfigError, match=r"^2,499 new requests x test_fraction 0.4 are fewer than min_judged 1,000"):
        parse(RetrainConfig, {option: 2_499})
