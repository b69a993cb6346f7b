"""A start from what the recorded future says of every action, before the algorithm learns from the ones it takes.

On recorded requests the reward of each action of a decision is known, not only that of the one taken. A few hundred
gradient steps on all of them bring the scores near; reinforcement learning goes on from there.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from cachesim.features import Float32Array

STEPS, BATCH, LEARNING_RATE = 400, 512, 2e-3


def warm_start(layers: list[nn.Linear], rows: Float32Array, rewards: Float32Array, values: bool, seed: int) -> None:
    """Fit the layers that give the scores, in place.

    Args:
        layers: f -> h -> h -> actions, ReLU between them.
        rows: float32 (m, f), as the network sees them.
        rewards: float32 (m, actions).
        values: whether scores are the rewards to expect (DQN), or logits of the action to take (PPO, A2C): then the
            mean reward of actions drawn by them is raised.
        seed: of the batches.
    """
    rng, device = np.random.default_rng(seed), layers[0].weight.device
    x, r = (torch.from_numpy(array).to(device) for array in (rows, rewards))  # (m, f), (m, actions)
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=LEARNING_RATE)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / STEPS)
        drawn = torch.from_numpy(rng.integers(0, len(rows), BATCH)).to(device)
        scores = _scores(layers, x[drawn])  # (batch, actions)
        if values:
            loss = functional.mse_loss(scores, r[drawn])
        else:
            loss = -(scores.softmax(dim=1) * r[drawn]).sum(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def _scores(layers: list[nn.Linear], x: torch.Tensor) -> torch.Tensor:
    for layer in layers[:-1]:
        x = torch.relu(layer(x))
    scores: torch.Tensor = layers[-1](x)
    return scores
