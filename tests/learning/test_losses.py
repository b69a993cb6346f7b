"""The losses: each is least where the least worth is dropped, and each candidate is told its part."""

import pytest
import torch

from learning.losses import Loss, advantage_loss, clipped_loss, regret_loss

WORTHS = torch.tensor([[0.0, 0.5, 1.0, 0.1], [1.0, 0.0, 0.2, 0.9]])
every_loss = pytest.mark.parametrize("loss", [regret_loss, advantage_loss])


@every_loss
def test_dropping_the_least_worth_loses_less_than_chance_and_chance_less_than_the_most(loss: Loss) -> None:
    assert loss(-WORTHS, WORTHS) < loss(0 * WORTHS, WORTHS) < loss(WORTHS, WORTHS)


@every_loss
def test_the_less_a_candidate_is_worth_the_more_its_score_is_raised(loss: Loss) -> None:
    scores = torch.zeros(2, 4, requires_grad=True)
    loss(scores, WORTHS).backward()
    assert scores.grad is not None
    for step, worths in zip(-scores.grad, WORTHS, strict=True):
        assert step.argsort().tolist() == worths.argsort(descending=True).tolist()
        assert step.sum() == pytest.approx(0, abs=1e-6)


@every_loss
def test_what_all_candidates_have_in_common_does_not_count(loss: Loss) -> None:
    shift = torch.tensor([[3.0], [-7.0]])
    assert loss(-WORTHS, WORTHS + shift) == pytest.approx(float(loss(-WORTHS + shift, WORTHS)), abs=1e-5)


def test_the_advantage_loss_is_zero_at_the_standardised_advantages_and_nowhere_else() -> None:
    advantages = (WORTHS.mean(dim=1, keepdim=True) - WORTHS) / (WORTHS.std(dim=1, correction=0, keepdim=True) + 0.01)
    assert advantage_loss(advantages + 5, WORTHS) == pytest.approx(0, abs=1e-10)
    assert advantage_loss(1.1 * advantages, WORTHS) > 1e-3


def test_an_error_counts_most_in_the_advantage_loss_where_the_score_is_highest() -> None:
    advantages = (WORTHS.mean(dim=1, keepdim=True) - WORTHS) / (WORTHS.std(dim=1, correction=0, keepdim=True) + 0.01)
    lost = []
    for order in (advantages[0].argsort(descending=True), advantages[0].argsort()):
        error = torch.zeros_like(advantages[0])
        error[order[0]], error[order[1]] = -0.1, 0.1  # what all have in common stays as it is
        lost.append(float(advantage_loss(advantages[:1] + error, WORTHS[:1])))
    assert lost[0] > 1.5 * lost[1]


@every_loss
def test_decisions_among_candidates_of_equal_worth_give_a_finite_loss(loss: Loss) -> None:
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
        one(given, WORTHS, 0.01).backward()
        gradients.append(given.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_chance_that_has_moved_beyond_the_clip_the_right_way_is_pushed_no_further() -> None:
    worths, before = torch.tensor([[0.0, 1.0]]), torch.log(torch.tensor([[0.5, 0.5]]))
    for probability, moves in ((0.5, True), (0.55, True), (0.7, False), (0.3, True)):
        scores = torch.log(torch.tensor([[probability, 1 - probability]])).requires_grad_()
        clipped_loss(scores, worths, before, 0.2, 0.0).backward()
        assert scores.grad is not None
        assert bool(scores.grad.abs().sum() > 1e-6) == moves, probability
