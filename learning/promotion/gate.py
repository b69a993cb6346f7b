"""The gate to Production: what a challenger showed, against what the user wants to see. Nothing is measured here."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from cachesim.analysis.metrics import Score
from learning.bundle.load import POLICY
from learning.evaluation.evaluate import Comparison
from learning.promotion.challenge import CHAMPION, Duel
from learning.promotion.latency import Latency
from learning.promotion.problem import JudgedSpan
from schemas.options.gate import LOWER_IS_BETTER, GateConfig, GuardMetric


@dataclass(frozen=True)
class Evidence:
    """What is known of a challenger.

    Attributes:
        opponent: `CHAMPION`, or the baseline that stands in where there is no champion yet.
        comparison: challenger minus opponent.
        challenger_score, opponent_score: on the same requests.
        judged: which requests those are.
        policy_bytes: size of its `policy.pt`.
        latency: of one of its decisions.
    """

    opponent: str
    comparison: Comparison
    challenger_score: Score
    opponent_score: Score
    judged: JudgedSpan
    policy_bytes: int
    latency: Latency

    @property
    def has_champion(self) -> bool:
        """Whether the opponent is a policy in Production, which has something to lose."""
        return self.opponent == CHAMPION

    @property
    def opponent_words(self) -> str:
        """What sentences call the opponent."""
        return "the champion" if self.has_champion else {"lru": "LRU"}.get(self.opponent, self.opponent)

    @classmethod
    def of(cls, duel: Duel, judged: JudgedSpan, policy_bytes: int, latency: Latency) -> "Evidence":
        """Return the evidence of a duel, and of what was measured besides."""
        scores = duel.challenger_score, duel.opponent_score
        return cls(duel.opponent, duel.comparison, *scores, judged, policy_bytes, latency)


@dataclass(frozen=True)
class Check:
    """One condition: what it is called, whether it holds, and a sentence with what was found and what is needed."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Verdict:
    """What the gate says: it lets a challenger pass when every check holds."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check holds."""
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it says no: the details of the checks that do not hold."""
        return tuple(check.detail for check in self.checks if not check.passed)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        checks = [asdict(check) for check in self.checks]
        return {"passed": self.passed, "reasons": list(self.reasons), "checks": checks}


def verdict(evidence: Evidence, config: GateConfig) -> Verdict:
    """Return whether a challenger may go into Production, check by check."""
    guards = (_guard(evidence, metric, config.max_loss) for metric in dict.fromkeys(config.guard_metrics))
    return Verdict((_improvement(evidence, config), *guards, *_limits(evidence, config)))


def _improvement(evidence: Evidence, config: GateConfig) -> Check:
    """Ask for more than `min_improvement`: a challenger that does exactly as well replaces nobody by default."""
    found = evidence.comparison.value_ratio
    if found.low is None:
        interval = "without an interval, as too few requests judge, or too few that the two serve differently"
    else:
        interval = f"95 % interval {found.low:+.4f} to {found.high:+.4f}"
    shown = found.low if config.by_interval else found.difference
    what = "its low end" if config.by_interval else "the difference"
    return Check(
        "improvement",
        shown is not None and shown > config.min_improvement,
        f"its value ratio differs by {found.difference:+.4f} from that of {evidence.opponent_words}, {interval}: "
        f"{what} must be above {config.min_improvement:+.4f}",
    )


def _guard(evidence: Evidence, metric: GuardMetric, max_loss: float) -> Check:
    """Protect what a champion has; a baseline that nobody is served by has nothing to lose.

    Any good eviction keeps copies for longer than LRU, so that they grow stale, and one for load times gives up hits.
    """
    name = metric.replace("_", " ")
    ours, theirs = (getattr(score, metric) for score in (evidence.challenger_score, evidence.opponent_score))
    if ours is None or theirs is None:
        return Check(metric, True, f"the {name} is not known of both, so that it is not checked")
    found = f"its {name} is {ours:.4f}, that of {evidence.opponent_words} {theirs:.4f}"
    if not evidence.has_champion:
        return Check(metric, True, f"{found}: not checked without a champion")
    lower = metric in LOWER_IS_BETTER
    loss = ours - theirs if lower else theirs - ours
    return Check(metric, loss <= max_loss, f"{found}: it may be {max_loss:g} {'higher' if lower else 'lower'} at most")


def _limits(evidence: Evidence, config: GateConfig) -> Iterator[Check]:
    judged, latency = evidence.judged, evidence.latency
    when = "all later than the training" if judged.later else "not all of them later than the training"
    yield Check(
        "judged requests",
        judged.requests >= config.min_judged,
        f"{judged.requests:,} requests judge, {when}: at least {config.min_judged:,} are needed",
    )
    yield Check(
        "policy size",
        evidence.policy_bytes <= config.max_policy_bytes,
        f"{POLICY} has {evidence.policy_bytes:,} bytes: {config.max_policy_bytes:,} are allowed",
    )
    yield Check(
        "latency",
        latency.p99_us <= config.max_latency_us,
        f"1 % of its decisions take longer than {latency.p99_us:,.0f} us, half of them {latency.median_us:,.0f} us: "
        f"{config.max_latency_us:,.0f} us are allowed",
    )
