"""Bad input: each error names what was required and what came."""

import pytest
import torch
from problems import ALPHA, PI, codes
from torch.distributions import Independent, Normal

import mireg


def call(regularizer=None, **changes):
    """Calls a regularizer with good codes but for some changes."""
    _, pi, alpha, posterior = codes()
    arguments = {"pi": pi, "alpha": alpha, "posterior": posterior, **changes}
    regularizer = regularizer or mireg.RobustMIConstraint(PI, ALPHA)
    return regularizer(arguments.pop("pi"), arguments.pop("alpha"), **arguments)


BAD_CALLS = [
    (
        dict(pi=torch.randn(1, PI), alpha=torch.randn(1, ALPHA)),
        "at least 2 samples, got a batch of 1",
    ),
    (dict(alpha=torch.randn(9, ALPHA)), r"same batch size, got shapes \(16, 5\) and \(9, 7\)"),
    (dict(pi=torch.randn(16, 6)), r"pi must have shape \(N, 5\), got \(16, 6\)"),
    (dict(alpha=torch.randn(16, 6)), r"alpha must have shape \(N, 7\), got \(16, 6\)"),
    (dict(alpha=torch.ones(16, ALPHA, dtype=torch.int64)), "floating-point codes, got torch.int64"),
    (dict(pi=torch.ones(16, PI, dtype=torch.int64)), "floating-point codes.*int64"),
    (dict(posterior=None), "needs the posterior of pi, got None"),
    (
        dict(posterior=Normal(torch.zeros(16, PI), 1.0)),
        r"event shape \(5\), like pi, got batch shape \(16, 5\) and event shape \(\)",
    ),
    (
        dict(posterior=Independent(Normal(torch.zeros(16, 3), 1.0), 1)),
        r"got batch shape \(16,\) and event shape \(3,\)",
    ),
    (
        dict(groups=torch.zeros(3)),
        r"groups must have shape \(16,\), one identity a sample, got \(3,\)",
    ),
]


@pytest.mark.parametrize(("changes", "message"), BAD_CALLS)
def test_bad_codes_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        call(**changes)


def test_the_critic_loss_checks_codes_too():
    constraint = mireg.RobustMIConstraint(PI, ALPHA)
    with pytest.raises(ValueError, match=r"pi must have shape \(N, 5\), got \(8, 6\)"):
        constraint.critic_loss(torch.randn(8, 6), torch.randn(8, ALPHA))


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match="pi must be a tensor, got list"):
        call(pi=[1.0])
    with pytest.raises(TypeError, match="must be a torch Distribution, got Tensor"):
        call(posterior=torch.zeros(16, PI))


def test_labels_must_be_integers():
    constraint = mireg.RobustMIConstraint(PI, classes=4)
    with pytest.raises(
        ValueError, match=r"labels must be integers with shape \(N,\), got torch.float32"
    ):
        call(constraint, alpha=torch.zeros(16))


@pytest.mark.parametrize("make", [mireg.ClassifierMI, mireg.RobustMIConstraint])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_codes_are_named_where_asked_for(make, bad):
    _, pi, alpha, posterior = codes()
    pi = pi.detach().clone()
    pi[3, 2] = bad
    regularizer = make(PI, ALPHA, finite_check=True)
    with pytest.raises(ValueError, match="pi must be finite, got 1 NaN or infinite of 80 values"):
        regularizer(pi, alpha, posterior)
    with pytest.raises(ValueError, match="pi must be finite"):
        regularizer.critic_loss(pi, alpha)
    make(PI, ALPHA)(pi, alpha, posterior)


def test_the_bound_checks_finite_codes_where_asked_for():
    with pytest.raises(ValueError, match="pi must be finite"):
        call(mireg.VariationalBound(finite_check=True), pi=torch.full((16, PI), float("nan")))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mireg.ClassifierMI(PI, ALPHA, epsilon=-0.1), "epsilon.*0 or above, got -0.1"),
        (lambda: mireg.RobustMIConstraint(PI, ALPHA, epsilon=float("nan")), "epsilon.*got nan"),
        (lambda: mireg.ClassifierMI(PI), "either alpha_features"),
        (lambda: mireg.ClassifierMI(PI, ALPHA, classes=3), "either alpha_features"),
        (lambda: mireg.ClassifierMI(PI, ALPHA, estimator="ksg"), "'dv', 'mean_logit'.*got 'ksg'"),
        (lambda: mireg.ClassifierMI(PI, ALPHA, pairs="some"), "'all', 'roll', got 'some'"),
        (lambda: mireg.ClassifierMI(PI, ALPHA, pairs=0), "1 negative a sample or more, got 0"),
        (lambda: mireg.ClassifierMI(PI, ALPHA, warmup_steps=-1), "0 or more, got -1"),
        (lambda: mireg.RobustMIConstraint(PI, ALPHA, gamma="free"), "'robust'.*got 'free'"),
        (lambda: mireg.VariationalBound(samples=0), "1 or more, got 0"),
        (lambda: -1 * mireg.VariationalBound(), "at least 0, got -1"),
        (
            lambda: mireg.RobustMIConstraint(PI, ALPHA, critic=torch.nn.Bilinear(PI, ALPHA, 1)),
            "critic and shadow.*got critic=Bilinear and shadow=NoneType",
        ),
    ],
)
def test_impossible_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_one_network_cannot_be_its_own_shadow():
    critic = torch.nn.Bilinear(PI, ALPHA, 1)
    with pytest.raises(ValueError, match="the same object"):
        mireg.RobustMIConstraint(PI, ALPHA, critic=critic, shadow=critic)


def test_a_prior_of_another_shape_or_kind_is_named():
    prior = Independent(Normal(torch.zeros(3), 1.0), 1)
    with pytest.raises(ValueError, match=r"event shape \(5,\) of pi, got \(3,\)"):
        call(mireg.VariationalBound(prior))
    with pytest.raises(ValueError, match=r"shape \(N, \*\(3,\)\) of its prior"):
        call(mireg.VariationalBound(mireg.LearnableGaussian(3)))
    with pytest.raises(TypeError, match="prior must be 'standard_normal'.*got 'cauchy'"):
        mireg.VariationalBound("cauchy")


def test_a_critic_that_is_no_module_is_named():
    with pytest.raises(TypeError, match="a critic must be a module.*got function"):
        mireg.ClassifierMI(PI, ALPHA, critic=lambda pi, alpha: pi)


def test_regularizers_add_to_regularizers_only():
    with pytest.raises(TypeError, match="unsupported operand"):
        mireg.VariationalBound() + 1


def test_labels_out_of_range_are_named_where_the_check_is_asked_for():
    regularizer = mireg.ClassifierMI(3, classes=4, finite_check=True)
    with pytest.raises(ValueError, match="labels must be from 0 to 3, got 0 to 4"):
        regularizer(torch.zeros(5, 3), torch.arange(5))
