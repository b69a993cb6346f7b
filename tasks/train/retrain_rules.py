"""Whether a new policy is due, and which requests it is to learn from."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.options.monitor import RetrainConfig
from schemas.options.train import SMALLEST_TEST_FRACTION
from tasks.registry.trained_versions import TrainedVersion


@dataclass(frozen=True)
class Share:
    """Which requests are read to train, the newest ones, and the last share of them that judges."""

    requests: int
    test_fraction: float


def too_few(config: RetrainConfig, new: int, newest: TrainedVersion | None) -> str:
    """Return why there is not enough to train on; "" when there is."""
    if new >= config.min_new_requests:
        return ""
    since = f" since {newest.title} was trained" if newest else ""
    return f"{new:,} new requests{since}: at least {config.min_new_requests:,} are needed"


def plain_reason(config: RetrainConfig, champion: TrainedVersion | None, now: datetime) -> str:
    """Return a reason to train that takes no look at the requests; "" when there is none."""
    if champion is None:
        return "no version is in Production yet"
    if config.always:
        return "asked for whenever there are enough new requests"
    if config.max_age_days is not None and now - champion.trained_at > timedelta(days=config.max_age_days):
        age_days = (now - champion.trained_at) / timedelta(days=1)
        return f"{champion.title} is {age_days:,.1f} days old: {config.max_age_days:g} are allowed"
    return ""


def share_to_read(config: RetrainConfig, new: int, available: int) -> Share:
    """Return which requests to train on, so that the last `test_fraction` of the new ones judges.

    What is new is learned from as well as judged on, and is at least an eighth of all with the default `test_fraction`:
    beyond that the share that judges would be less than the smallest one.

    Args:
        config: how many at most, and which share of the new ones judges.
        new: those since the newest version was trained, >= 1.
        available: all that there are, >= new.
    """
    most = available if config.max_queries is None else min(available, config.max_queries)
    requests = min(most, round(new * config.test_fraction / SMALLEST_TEST_FRACTION))
    share = config.test_fraction * min(new, requests) / requests
    return Share(requests, max(share, SMALLEST_TEST_FRACTION))
