"""The warm start: the scorer learns from what each action would have earned, before an algorithm learns by trial.

The recorded future gives the worth of every candidate. An algorithm of reinforcement learning is told that of the one
that it drops; here all are used, which takes a fraction of the decisions. The caches go their way with the candidates
that the scorer drops, at random by its scores, so that it learns on the contents which it leads to.
"""

import numpy as np
import torch
from torch.nn.utils import vector_to_parameters

from cachesim.rollout import Decisions
from learning.average import WeightAverage
from learning.losses import Loss
from learning.scorer import ScorerNet

LEARNING_RATE = 2e-3
LAST_RATE_SHARE = 0.05
ROUNDS = 4  # decisions of each cache in a gradient step
RESYNCS = 6
MAX_GRADIENT_NORM = 0.5


def warm_start(net: ScorerNet, decisions: Decisions, loss: Loss, timesteps: int, seed: int) -> None:
    """Teach `net` from about so many decisions; its weights are then the mean over the later half of the updates.

    Args:
        net: the scorer, changed in place.
        decisions: of the training span, whose caches are left wherever this leads them.
        loss: what to make small.
        timesteps: decisions, >= 0; below one gradient step nothing happens.
        seed: of the actions that are drawn.
    """
    batch = decisions.rows.shape[0]
    updates = timesteps // (ROUNDS * batch)
    optimiser = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    rng, average = np.random.default_rng(seed), WeightAverage()
    turns = {updates * turn // RESYNCS for turn in range(1, RESYNCS)}
    decisions.reset()
    for done in range(updates):
        if done in turns:
            average.end_stretch()
            decisions.resync(net.compiled(decisions.normaliser))
            decisions.reset()
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * max(LAST_RATE_SHARE, 1 - done / updates)
        rows, worths = _rounds(net, decisions, rng)
        optimiser.zero_grad()
        loss(net(rows), worths).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), MAX_GRADIENT_NORM)
        optimiser.step()
        average.add(net)
    if updates:
        vector_to_parameters(average.end_stretch().to(next(net.parameters()).device), net.parameters())


def _rounds(net: ScorerNet, decisions: Decisions, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Let each cache decide `ROUNDS` times; return the candidates (m, k, f) and what keeping them was worth (m, k)."""
    rows, worths = [], []
    device = next(net.parameters()).device
    for _ in range(ROUNDS):
        seen = torch.from_numpy(decisions.rows.copy()).to(device)  # (batch, k, f)
        rows.append(seen)
        worths.append(torch.from_numpy(decisions.worths.astype(np.float32)).to(device))
        with torch.no_grad():
            scores = net(seen).cpu().numpy()
        decisions.step((scores + rng.gumbel(size=scores.shape)).argmax(axis=1))  # a draw from their softmax
    return torch.cat(rows), torch.cat(worths)
