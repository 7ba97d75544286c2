"""The term that makes pose codes agree between identities."""

import pytest
import torch
from objectives import agreement
from torch import nn
from training.options import TrainOptions


class Product(nn.Module):
    """Draws the product of both codes, scaled: its gradient is known."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.frozen = nn.Parameter(torch.tensor(1.0), requires_grad=False)

    def forward(self, pi, alpha):
        return self.scale * self.frozen * pi * alpha


def codes():
    torch.manual_seed(0)
    return torch.randn(6, 4, requires_grad=True), torch.randn(6, 4, requires_grad=True)


def test_its_gradient_is_that_of_drawing_with_another_appearance():
    pi, alpha = codes()
    target = torch.randn(6, 4)
    agreement(Product(), pi, alpha, lambda x: (x - target).square().sum(), shift=2).backward()
    other = alpha.detach()[[4, 5, 0, 1, 2, 3]]
    torch.testing.assert_close(pi.grad, 2 * (3 * pi.detach() * other - target) * 3 * other)


def test_it_moves_neither_the_decoder_nor_the_appearance():
    pi, alpha = codes()
    decoder = Product()
    agreement(decoder, pi, alpha, lambda x: x.square().sum(), shift=2).backward()
    assert alpha.grad is None
    assert decoder.scale.grad is None
    assert decoder.scale.requires_grad
    assert not decoder.frozen.requires_grad


def test_a_decoder_that_fails_is_left_trainable():
    pi, alpha = codes()
    decoder = Product()
    with pytest.raises(RuntimeError):
        agreement(decoder, pi, alpha[:, :3], lambda x: x.sum(), shift=2)
    assert decoder.scale.requires_grad


def test_impossible_weights_are_refused():
    with pytest.raises(ValueError, match="--agreement must be 0 or above, got -1"):
        TrainOptions(agreement=-1.0)
    with pytest.raises(ValueError, match="--agreement-until must be in"):
        TrainOptions(agreement_until=0.0)
