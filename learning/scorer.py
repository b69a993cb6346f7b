"""The network: one scorer that is shared by all candidates, and the exported policy around it."""

import torch
from torch import nn

from cachesim import features
from cachesim.features import Float32Array, Normaliser
from cachesim.scorer import Scorer, build_scorer

HIDDEN = 32


class ScorerNet(nn.Module):
    """Scores each candidate alone: f -> 32 -> 32 -> 1 with ReLU.

    Takes float32 (..., f), transformed features; returns float32 (...), the higher the sooner dropped.
    """

    def __init__(self, n_features: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.widths = (hidden, hidden)
        self.first = nn.Linear(n_features, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))  # (..., hidden)
        x = torch.relu(self.second(x))  # (..., hidden)
        scores: torch.Tensor = self.last(x).squeeze(-1)  # (...)
        return scores

    def compiled(self, normaliser: Normaliser) -> Scorer:
        """Return a copy of the weights for the compiled replay."""

        def array(parameter: torch.Tensor) -> Float32Array:
            values: Float32Array = parameter.detach().cpu().numpy()
            return values

        return build_scorer(
            normaliser=normaliser,
            first=array(self.first.weight),
            first_bias=array(self.first.bias),
            second=array(self.second.weight),
            second_bias=array(self.second.bias),
            last=array(self.last.weight)[0],
            last_bias=array(self.last.bias),
        )


class ExportedPolicy(nn.Module):
    """A network with transform and standardisation inside: raw features float32 (n, f) -> its scores, float32.

    Those of a scorer are (n,), those of a decision on misses (n, actions).

    The candidate, or the action, with the highest score is taken: a scorer's candidate is dropped. Plain operators
    only, so that old runtimes load it.
    """

    def __init__(self, net: nn.Module, normaliser: Normaliser) -> None:
        super().__init__()
        self.net = net
        self.is_log2_1p: torch.Tensor
        self.is_log2: torch.Tensor
        self.is_symlog2: torch.Tensor
        self.missing_value: torch.Tensor
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        kinds = torch.from_numpy(normaliser.transform)
        self.register_buffer("is_log2_1p", kinds == features.LOG2_1P)
        self.register_buffer("is_log2", kinds == features.LOG2)
        self.register_buffer("is_symlog2", kinds == features.SYMLOG2)
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
        y = torch.clamp((y - self.mean) / self.deviation, -8.0, 8.0)
        scores: torch.Tensor = self.net(y)  # (n,)
        return scores
