"""Any two encoders: what they may return, and what is said of the rest."""

import pytest
import torch
from problems import ALPHA, PI, REGULARIZERS
from torch import nn
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal

import mireg


class Returns(nn.Module):
    """An encoder that returns the same for any input."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x):
        return self.output


SHAPES = {
    "vectors": (8, 3),
    "maps": (8, 3, 4, 4),
    "tokens": (8, 6, 3),
    "volumes": (8, 3, 2, 4, 4),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_kind_of_output_gives_codes_that_a_constraint_takes(shape):
    mean, log_var = torch.randn(shape, requires_grad=True), torch.zeros(shape)
    normal = Normal(mean, torch.ones(shape))
    outputs = {
        "pair": (mean, log_var),
        "list": [mean, log_var],
        "independent": Independent(normal, len(shape) - 1),
        "batch of scalars": normal,
    }
    for name, output in outputs.items():
        constraint = mireg.RobustMIConstraint(shape[1:], 2)
        pair = mireg.EncoderPair(Returns(output), Returns(torch.randn(8, 2)), constraint)
        codes = pair(None, None)
        assert codes.pi.shape == shape, name
        assert codes.posterior.batch_shape == (8,) and codes.posterior.event_shape == shape[1:]
        assert not codes.pi.equal(mean), f"{name} must be sampled"
        penalty = pair.constraint(*codes)
        (penalty.loss + penalty.critic_loss).backward()
        assert mean.grad is not None


def test_a_tensor_is_a_code_without_a_posterior():
    pi = torch.randn(8, 3)
    codes = mireg.EncoderPair(Returns(pi), Returns(torch.randn(8, 2)))(None, None)
    assert codes.pi is pi and codes.posterior is None
    mireg.ClassifierMI(3, 2)(*codes)
    with pytest.raises(ValueError, match="needs the posterior of pi, got None"):
        mireg.RobustMIConstraint(3, 2)(*codes)


def test_samples_have_the_distribution_that_was_returned():
    mean = torch.tensor([1.0, -2.0]).expand(20_000, 2)
    log_var = torch.full_like(mean, 2.0)
    pair = mireg.EncoderPair(Returns((mean, log_var)), nn.Identity())
    for mode in (True, False):
        pi = pair.train(mode)(None, torch.randn(20_000, 2)).pi
        torch.testing.assert_close(pi.mean(0), mean[0], atol=0.1, rtol=0)
        torch.testing.assert_close(pi.var(0).log(), log_var[0], atol=0.1, rtol=0)


def test_a_full_covariance_posterior_is_kept_whole():
    posterior = MultivariateNormal(torch.zeros(8, 3), torch.eye(3))
    codes = mireg.EncoderPair(Returns(posterior), Returns(torch.randn(8, 2)))(None, None)
    assert codes.posterior is posterior
    mireg.RobustMIConstraint(3, 2)(*codes)


def test_alpha_may_be_sampled_or_a_label():
    pi = (torch.randn(8, 3), torch.zeros(8, 3))
    alpha = (torch.zeros(8, 2), torch.zeros(8, 2))
    assert mireg.EncoderPair(Returns(pi), Returns(alpha))(None, None).alpha.std() > 0
    labels = torch.arange(8) % 3
    codes = mireg.EncoderPair(Returns(pi), nn.Identity())(None, labels)
    assert codes.alpha is labels
    mireg.RobustMIConstraint(3, classes=3)(*codes)


def test_a_log_variance_is_a_tensor():
    with pytest.raises(TypeError, match="log_var must be a tensor, got float"):
        mireg.diagonal_gaussian(torch.zeros(8, 3), 0.0)


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (
            {"mean": torch.zeros(8, 3)},
            TypeError,
            "pi_encoder must return.*got dict: wrap the encoder",
        ),
        (None, TypeError, "got NoneType"),
        ((torch.zeros(8, 3),) * 3, TypeError, "got tuple of Tensor, Tensor, Tensor"),
        ((torch.zeros(8, 3), None), TypeError, "got tuple of Tensor, NoneType"),
        (
            (torch.zeros(8, 3), torch.zeros(8, 4)),
            ValueError,
            r"same shape, got \(8, 3\) and \(8, 4\)",
        ),
        (
            Categorical(torch.ones(8, 3)),
            TypeError,
            r"reparametrised samples \(rsample\), got Categorical",
        ),
        (torch.zeros(8), ValueError, r"vectors \(N, D\).*got shape \(8,\)"),
        (torch.zeros(8, 1, 1, 1, 1, 1), ValueError, r"got shape \(8, 1, 1, 1, 1, 1\)"),
        (torch.zeros(8, 3, dtype=torch.int64), ValueError, "floating-point codes.*int64"),
        (torch.zeros(7, 3), ValueError, "one code per sample, got 7 of pi and 8 of alpha"),
    ],
)
def test_what_cannot_be_read_is_named(output, error, message):
    pair = mireg.EncoderPair(Returns(output), Returns(torch.zeros(8, 2)))
    with pytest.raises(error, match=message):
        pair(None, None)


def test_one_state_dict_holds_all():
    constraint = mireg.RobustMIConstraint(3, 2)
    pair = mireg.EncoderPair(nn.Linear(4, 3), nn.Linear(4, 2), constraint)
    keys = pair.state_dict().keys()
    assert {"pi_encoder.weight", "constraint.gamma.state", "constraint.multiplier.state"} <= keys


def test_parameters_of_encoders_are_those_that_their_optimizer_trains():
    constraint = mireg.RobustMIConstraint(3, 2, prior=mireg.LearnableGaussian(3))
    pair = mireg.EncoderPair(nn.Linear(4, 3), nn.Linear(4, 2), constraint)
    trained = {id(p) for p in pair.encoder_parameters()}
    others = {id(p) for p in constraint.parameters()}
    assert len(trained) == 4 and not trained & others
    assert trained | others == {id(p) for p in pair.parameters()}


def test_the_codes_fit_both_calls_of_any_regularizer():
    pi = (torch.randn(8, PI), torch.zeros(8, PI))
    codes = mireg.EncoderPair(Returns(pi), Returns(torch.randn(8, ALPHA)))(None, None)
    for name, make in REGULARIZERS.items():
        regularizer = make()
        regularizer(*codes)
        assert regularizer.critic_loss(*codes).isfinite(), name


def test_names_are_neutral():
    encoders = {"pi_encoder": nn.Linear(4, 3), "alpha_encoder": nn.Identity()}
    pair = mireg.EncoderPair(**encoders)
    assert pair(x_pi=torch.randn(8, 4), x_alpha=torch.arange(8) % 2).pi.shape == (8, 3)


class Halves(nn.Module):
    """Returns a mean and a log-variance."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 6)

    def forward(self, x):
        return self.layer(x).chunk(2, dim=1)


@pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="torch cannot tell")
def test_a_pair_can_be_exported_and_gives_tensors():
    pair = mireg.EncoderPair(Halves(), nn.Linear(4, 2))
    x = torch.randn(8, 4)
    program = torch.export.export(pair, (x, x)).module()
    pi, alpha, posterior = program(x, x)
    assert posterior is None and pi.shape == (8, 3)
    torch.testing.assert_close(alpha, pair(x, x).alpha)
    # The program samples, as the pair does.
    assert not pi.equal(program(x, x)[0])
    assert pair(x, x).posterior is not None
