"""The networks: a scorer that is shared by all candidates, one that scores actions, and the exported policy around.

Neither Gymnasium nor Stable-Baselines3 is imported: what serves a bundle takes its network apart with this module.
"""

import numpy as np
import torch
from torch import nn

from cachesim.eviction.scorer import Scorer, build_scorer
from cachesim.features import table
from cachesim.features.table import STANDARD_LIMIT, Float32Array, Normaliser
from cachesim.miss.decider import Decider, build_decider

HIDDEN = 32


class _Layers(nn.Module):
    """f -> 32 -> 32 -> outputs with ReLU; takes float32 (..., f), transformed features."""

    def __init__(self, n_features: int, outputs: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.widths = (hidden, hidden)
        self.first = nn.Linear(n_features, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, outputs)

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Return float32 (..., outputs)."""
        x = torch.relu(self.first(x))  # (..., hidden)
        x = torch.relu(self.second(x))  # (..., hidden)
        scores: torch.Tensor = self.last(x)  # (..., outputs)
        return scores


class ScorerNet(_Layers):
    """Scores each candidate alone: returns float32 (...), the higher the sooner dropped."""

    def __init__(self, n_features: int, hidden: int = HIDDEN) -> None:
        super().__init__(n_features, 1, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outputs(x).squeeze(-1)

    def compiled(self, normaliser: Normaliser) -> Scorer:
        """Return a copy of the weights for the compiled replay."""
        first, first_bias, second, second_bias, last, last_bias = map(_array, self.parameters())
        return build_scorer(normaliser, first, first_bias, second, second_bias, last[0], last_bias)


class DecisionNet(_Layers):
    """Scores the actions of a decision on a miss: returns float32 (..., actions); the highest is taken."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outputs(x)

    def compiled(self, normaliser: Normaliser) -> Decider:
        """Return a copy of the weights for the compiled replay."""
        return build_decider(normaliser, *map(_array, self.parameters()))


PolicyNet = ScorerNet | DecisionNet


def _array(parameter: torch.Tensor) -> Float32Array:
    values: Float32Array = parameter.detach().cpu().numpy()
    return values


class ExportedPolicy(nn.Module):
    """A network with transform and standardisation inside: raw features float32 (n, f) -> its scores, float32.

    Those of a scorer are (n,), those of a decision on misses (n, actions).

    The candidate, or the action, with the highest score is taken: a scorer's candidate is dropped. Plain operators
    only, so that old runtimes load it.
    """

    def __init__(self, net: PolicyNet, normaliser: Normaliser) -> None:
        super().__init__()
        self.net = net
        self.limit = STANDARD_LIMIT
        self.is_log2_1p: torch.Tensor
        self.is_log2: torch.Tensor
        self.is_symlog2: torch.Tensor
        self.missing_value: torch.Tensor
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        kinds = torch.from_numpy(normaliser.transform)
        self.register_buffer("is_log2_1p", kinds == table.LOG2_1P)
        self.register_buffer("is_log2", kinds == table.LOG2)
        self.register_buffer("is_symlog2", kinds == table.SYMLOG2)
        self.register_buffer("missing_value", torch.from_numpy(normaliser.missing_value))
        self.register_buffer("mean", torch.from_numpy(normaliser.mean))
        self.register_buffer("deviation", torch.from_numpy(normaliser.deviation))

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        log2_1p = torch.where(raw >= 0, torch.log2(1 + torch.clamp(raw, min=0.0)), self.missing_value)  # (n, f)
        log2 = torch.log2(torch.clamp(raw, min=2.0**-16))
        symlog2 = torch.sign(raw) * torch.log2(1 + torch.abs(raw))
        y = torch.where(self.is_log2_1p, log2_1p, raw)
        y = torch.where(self.is_log2, log2, y)
        y = torch.where(self.is_symlog2, symlog2, y)
        y = torch.clamp((y - self.mean) / self.deviation, -self.limit, self.limit)
        scores: torch.Tensor = self.net(y)  # (n,) or (n, actions)
        return scores


def normaliser_of(policy: ExportedPolicy) -> Normaliser:
    """Return the transform and standardisation of an exported policy."""
    kinds = np.full(policy.mean.numel(), table.IDENTITY, np.int64)
    for code, chosen in (
        (table.LOG2_1P, policy.is_log2_1p),
        (table.LOG2, policy.is_log2),
        (table.SYMLOG2, policy.is_symlog2),
    ):
        kinds[chosen.cpu().numpy()] = code
    means = (_array(values).copy() for values in (policy.missing_value, policy.mean, policy.deviation))
    return Normaliser(kinds, *means)
