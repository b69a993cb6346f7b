"""What is compiled ahead is what a training needs."""

from cachesim.capacity import Capacity
from cachesim.policies import guarded
from cachesim.replay import replay
from cachesim.synthetic import energy_trace
from cachesim.warm import compile_policies
from tests.models.nets import options


def test_a_guard_of_a_trained_network_is_compiled_ahead() -> None:
    compile_policies()
    kernel = guarded.replay
    ahead = kernel.signatures
    assert ahead
    net = options(20.0, n_endpoints=9)
    replay(energy_trace(50, seed=1), "guarded", Capacity(5, "objects"), **net)
    assert kernel.signatures == ahead
