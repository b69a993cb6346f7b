"""The mean weights of a network over the later half of its updates."""

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector


class WeightAverage:
    """Sums the weights over stretches of updates, so that at the end of each the mean of the later half is known.

    Averaging over the last updates takes out the noise of the single steps (Polyak and Juditsky, SIAM J. Control and
    Optimization 1992). After s stretches the mean is that of the last s - s // 2, whatever is still to come.
    """

    def __init__(self) -> None:
        self._sums: list[torch.Tensor] = []  # one a stretch, float64 (n_weights,)
        self._counts: list[int] = []  # updates in each stretch
        self._open = False

    def add(self, net: nn.Module) -> None:
        """Count in the weights that `net` has now."""
        weights = parameters_to_vector(net.parameters()).detach().double()
        if not self._open:
            self._sums.append(torch.zeros_like(weights))
            self._counts.append(0)
            self._open = True
        self._sums[-1] += weights
        self._counts[-1] += 1

    def end_stretch(self) -> torch.Tensor:
        """End the stretch, of one update or more, and return the mean weights, float32 (n_weights,), on the CPU."""
        self._open = False
        later = slice(len(self._sums) // 2, None)
        mean = torch.stack(self._sums[later]).sum(dim=0) / sum(self._counts[later])
        return mean.float().cpu()

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes: tensors and numbers."""
        return {"sums": [one.cpu() for one in self._sums], "counts": list(self._counts), "open": self._open}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Go back to `state`."""
        self._sums = [one.to(device) for one in state["sums"]]
        self._counts, self._open = list(state["counts"]), state["open"]
