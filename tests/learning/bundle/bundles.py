"""A small policy and its bundle, made by the real export, and ways to forge one."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from learning.bundle.export import export_bundle
from schemas.bundle import Candidates, Capacity, DataSummary, Feature, PolicyDescription, Span

N_FEATURES = 6
N_CANDIDATES = 16


class SmallPolicy(nn.Module):
    """A scorer with transforms by column: log2 of a count that may be missing, signed log2, and a plain value."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.first = nn.Linear(N_FEATURES, 32)
        self.last = nn.Linear(32, 1)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)
        self.register_buffer("is_count", torch.arange(N_FEATURES) < 3)
        self.register_buffer("is_signed", torch.arange(N_FEATURES) == 3)
        self.register_buffer("missing", torch.full((N_FEATURES,), 20.0))
        self.register_buffer("mean", torch.rand(N_FEATURES, generator=generator) * 5)
        self.register_buffer("deviation", torch.rand(N_FEATURES, generator=generator) + 0.5)

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        known = torch.where(torch.isnan(raw), self.missing, raw)
        x = torch.where(self.is_count, torch.log2(1 + torch.clamp(known, min=0.0)), known)
        x = torch.where(self.is_signed, torch.sign(known) * torch.log2(1 + torch.abs(known)), x)
        x = torch.clamp((x - self.mean) / self.deviation, -8.0, 8.0)
        return self.last(torch.relu(self.first(x))).squeeze(-1)


def random_states(n_states: int, seed: int = 0) -> np.ndarray:
    """Raw features over many magnitudes, one in twenty unknown: float32 [n_states, K, f]."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(n_states, N_CANDIDATES, N_FEATURES)) * 10.0 ** rng.integers(-3, 7, (n_states, 1, 1))
    states[rng.random(states.shape) < 0.05] = np.nan
    return states.astype(np.float32)


def trained_scores(policy: nn.Module, states: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return policy(torch.from_numpy(states).reshape(-1, N_FEATURES)).reshape(states.shape[:2]).numpy()


def description(**changes: object) -> PolicyDescription:
    first, last = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    feature = Feature(name="f0", unit="requests", definition="age", transform="log2(1 + x)", missing="NaN")
    training = Span(requests=600, first_timestamp=first, last_timestamp=last)
    values: dict[str, object] = {
        "decision": "eviction",
        "algorithm": "dqn",
        "features": tuple(feature.model_copy(update={"name": f"f{i}"}) for i in range(N_FEATURES)),
        "candidates": Candidates(training=16, use=32),
        "action": "The candidate with the highest score is dropped.",
        "capacity": Capacity(limit=100, unit="objects", objects=100.0),
        "history_keys": 900,
        "objective": {},
        "data": DataSummary(
            fingerprint="0" * 64,
            requests=1000,
            distinct_keys=300,
            first_timestamp=first,
            last_timestamp=last,
            training=training,
        ),
        "seeds": {"run": 0},
        "hyperparameters": {"learning_rate": 2e-3, "net": [32, 32]},
        "versions": {"torch": torch.__version__},
        "evaluation": {},
        "created_at": last,
    }
    return PolicyDescription(**(values | changes))


def export(folder: Path, n_states: int = 50, seed: int = 0, **changes: object) -> Path:
    policy, states = SmallPolicy(seed), random_states(n_states)
    return export_bundle(policy, states, trained_scores(policy, states), description(**changes), folder)


def rewrite_metadata(bundle: Path, **changes: Any) -> None:
    """Change fields of `metadata.json` and leave its digest as it was."""
    document = json.loads((bundle / "metadata.json").read_text())
    (bundle / "metadata.json").write_text(json.dumps(document | changes))


def forge_metadata(bundle: Path, **changes: Any) -> None:
    """Change fields of `metadata.json` and its digest: a forgery that only its meaning can betray."""
    document = json.loads((bundle / "metadata.json").read_text()) | changes
    content = {name: value for name, value in document.items() if name != "sha256"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    rewrite_metadata(bundle, **content, sha256=hashlib.sha256(canonical.encode()).hexdigest())


def forge_file(bundle: Path, name: str, content: bytes) -> None:
    """Replace a file, its hash and the digest of the metadata."""
    (bundle / name).write_bytes(content)
    files = json.loads((bundle / "metadata.json").read_text())["files"]
    forge_metadata(bundle, files=files | {name: hashlib.sha256(content).hexdigest()})
