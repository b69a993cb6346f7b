"""The mean of the later half of the weights, against the plain formula."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from learning.training.weight_average import WeightAverage

CPU = torch.device("cpu")


def set_weights(net: nn.Linear, value: float) -> None:
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(value)


def averages(stretches: list[list[float]], cut: int = -1) -> list[float]:
    """The mean after each stretch; before the stretch `cut` the state goes to another average, which goes on."""
    net, average, found = nn.Linear(2, 1), WeightAverage(), []
    for i, stretch in enumerate(stretches):
        for j, value in enumerate(stretch):
            if i == cut and j == len(stretch) // 2:
                state, average = average.state(), WeightAverage()
                average.restore(state, CPU)
            set_weights(net, value)
            average.add(net)
        mean = average.end_stretch()
        assert (mean == mean[0]).all()
        assert mean.shape == (3,)
        found.append(float(mean[0]))
    return found


values = st.lists(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=4), min_size=1, max_size=7)


@given(values)
def test_after_each_stretch_it_is_the_mean_of_the_later_half_of_the_stretches(stretches: list[list[float]]) -> None:
    for n, found in enumerate(averages(stretches), start=1):
        later = np.concatenate(stretches[n // 2 : n])
        np.testing.assert_allclose(found, later.mean(), rtol=1e-6, atol=1e-6)


@given(values, st.integers(0, 6))
def test_an_average_that_was_restored_goes_on_exactly(stretches: list[list[float]], cut: int) -> None:
    assert averages(stretches, cut) == averages(stretches)


def test_the_weights_of_the_network_are_left_alone() -> None:
    net, average = nn.Linear(2, 1), WeightAverage()
    set_weights(net, 1.0)
    average.add(net)
    set_weights(net, 3.0)
    average.add(net)
    assert average.end_stretch().tolist() == [2.0, 2.0, 2.0]
    assert all((parameter == 3).all() for parameter in net.parameters())
