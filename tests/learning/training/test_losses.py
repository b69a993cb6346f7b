"""The losses: each is least where the cheapest action is taken, and each action is told its part."""

import pytest
import torch

from learning.training.losses import Loss, advantage_loss, clipped_loss, regret_loss, value_loss

COSTS = torch.tensor([[0.0, 0.5, 1.0, 0.1], [1.0, 0.0, 0.2, 0.9]])
every_loss = pytest.mark.parametrize("loss", [regret_loss, advantage_loss, value_loss])


@every_loss
def test_the_cheapest_action_loses_less_than_chance_and_chance_less_than_the_dearest(loss: Loss) -> None:
    assert loss(-COSTS, COSTS) < loss(0 * COSTS, COSTS) < loss(COSTS, COSTS)


@every_loss
def test_the_less_an_action_costs_the_more_its_score_is_raised(loss: Loss) -> None:
    scores = torch.zeros(2, 4, requires_grad=True)
    loss(scores, COSTS).backward()
    assert scores.grad is not None
    for step, costs in zip(-scores.grad, COSTS, strict=True):
        assert step.argsort().tolist() == costs.argsort(descending=True).tolist()
        assert step.sum() == pytest.approx(0, abs=1e-6)


@every_loss
def test_what_all_actions_have_in_common_does_not_count(loss: Loss) -> None:
    shift = torch.tensor([[3.0], [-7.0]])
    assert loss(-COSTS, COSTS + shift) == pytest.approx(float(loss(-COSTS + shift, COSTS)), abs=1e-5)


def test_the_advantage_loss_is_zero_at_the_standardised_advantages_and_nowhere_else() -> None:
    advantages = (COSTS.mean(dim=1, keepdim=True) - COSTS) / (COSTS.std(dim=1, correction=0, keepdim=True) + 0.01)
    assert advantage_loss(advantages + 5, COSTS) == pytest.approx(0, abs=1e-10)
    assert advantage_loss(1.1 * advantages, COSTS) > 1e-3


def test_an_error_counts_most_in_the_advantage_loss_where_the_score_is_highest() -> None:
    advantages = (COSTS.mean(dim=1, keepdim=True) - COSTS) / (COSTS.std(dim=1, correction=0, keepdim=True) + 0.01)
    lost = []
    for order in (advantages[0].argsort(descending=True), advantages[0].argsort()):
        error = torch.zeros_like(advantages[0])
        error[order[0]], error[order[1]] = -0.1, 0.1  # what all have in common stays as it is
        lost.append(float(advantage_loss(advantages[:1] + error, COSTS[:1])))
    assert lost[0] > 1.5 * lost[1]


def test_an_action_that_rarely_costs_but_then_much_has_a_low_value_though_mostly_a_high_advantage() -> None:
    """Of ten decisions the first action saves 1 in nine and loses 20 in one: on average it is the worse one."""
    costs = torch.tensor([[-1.0, 0.0]] * 9 + [[20.0, 0.0]])
    best = []
    for loss in (value_loss, advantage_loss):
        scores = torch.zeros(1, 2, requires_grad=True)  # the same at each decision
        loss(scores.expand(10, 2), costs).backward()
        assert scores.grad is not None
        best.append(int(scores.grad.argmin()))
    assert best == [1, 0]


@every_loss
def test_decisions_among_actions_of_equal_cost_give_a_finite_loss(loss: Loss) -> None:
    scores = torch.randn(3, 4, requires_grad=True)
    loss(scores, torch.zeros(3, 4)).backward()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


def test_the_clipped_loss_has_the_gradient_of_the_regret_where_the_policy_has_not_moved() -> None:
    scores = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    before = torch.log_softmax(scores, dim=1)
    gradients = []
    for one in (regret_loss, lambda s, w, e: clipped_loss(s, w, before, 0.2, e)):
        given = scores.clone().requires_grad_()
        one(given, COSTS, 0.01).backward()
        gradients.append(given.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_chance_that_has_moved_beyond_the_clip_the_right_way_is_pushed_no_further() -> None:
    costs, before = torch.tensor([[0.0, 1.0]]), torch.log(torch.tensor([[0.5, 0.5]]))
    for probability, moves in ((0.5, True), (0.55, True), (0.7, False), (0.3, True)):
        scores = torch.log(torch.tensor([[probability, 1 - probability]])).requires_grad_()
        clipped_loss(scores, costs, before, 0.2, 0.0).backward()
        assert scores.grad is not None
        assert bool(scores.grad.abs().sum() > 1e-6) == moves, probability
