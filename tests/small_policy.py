"""A policy small enough to be looked through, and its bundle, for tests of what happens to bundles."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from learning.bundle import export_bundle
from schemas.bundle import Candidates, Capacity, DataSummary, Feature, PolicyDescription, Span

N_FEATURES = 4


class LinearPolicy(torch.nn.Module):
    """Scores a candidate by the sum of its features, times 1, 2, 3 and 4."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.arange(1.0, N_FEATURES + 1))

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        known = torch.where(torch.isnan(raw), torch.zeros_like(raw), raw)
        return (known * self.weight).sum(dim=1)


def description(seed: int = 0) -> PolicyDescription:
    """Return a description that fits it."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    span = Span(requests=10, first_timestamp=moment, last_timestamp=moment)
    features = [
        Feature(name=f"f{i}", unit="requests", definition="age", transform="none", missing="NaN")
        for i in range(N_FEATURES)
    ]
    return PolicyDescription(
        decision="eviction",
        algorithm="dqn",
        features=tuple(features),
        candidates=Candidates(training=8, use=8),
        action="The candidate with the highest score is dropped.",
        capacity=Capacity(limit=100, unit="objects", objects=100.0),
        history_keys=900,
        objective={},
        data=DataSummary(fingerprint="a" * 64, distinct_keys=3, training=span, **dict(span)),
        seeds={"run": seed},
        hyperparameters={},
        versions={},
        evaluation={},
        created_at=moment,
    )


def small_bundle(folder: Path, seed: int = 0) -> Path:
    """Export the policy to `folder`; bundles of different seeds differ in their description."""
    states = np.random.default_rng(0).normal(size=(30, 8, N_FEATURES)).astype(np.float32)
    states[0, 0, 0] = np.nan
    scores = LinearPolicy()(torch.from_numpy(states.reshape(-1, N_FEATURES))).reshape(30, 8).numpy()
    return export_bundle(LinearPolicy(), states, scores, description(seed), folder)
