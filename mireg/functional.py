r"""The equations of the paper as pure functions, in nats.

Functions take and return tensors, keep no state and never synchronise with the device. Half
precision is reduced in float32. Equation numbers are those of `Unsupervised Robust Disentangling of
Latent Characteristics for Image Synthesis <https://arxiv.org/abs/1910.10223>`_ (Esser, Haux and
Ommer, ICCV 2019).
"""

__all__ = [
    "variational_bound",
    "critic_loss",
    "mean_logit",
    "gamma_robust",
    "gamma_variational",
    "variational_penalty",
    "augmented_lagrangian",
    "multiplier_step",
    "donsker_varadhan",
    "nwj",
    "smile",
]

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, kl_divergence

from ._numerics import full_precision, log_mean_exp, mean

# torch looks up the formula for two types once, in code that it cannot compile. Do so here.
_GAUSSIAN = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
kl_divergence(_GAUSSIAN, _GAUSSIAN)


def variational_bound(
    posterior: Distribution,
    prior: Distribution,
    samples: int = 1,
) -> Tensor:
    r"""Returns the upper bound of eq. (9) of Esser et al., 2019.

    .. math:: I(\pi, \alpha) \leq I(\pi, x)
        \leq \mathbb{E}_x \, \mathrm{KL}(q(\pi | x) \,\|\, r(\pi))

    The KL divergence is in closed form if torch registers one, and a Monte Carlo estimate
    otherwise.

    Arguments:
        posterior: The posterior :math:`q(\pi | x)`, with batch shape :math:`(N,)`.
        prior: The prior :math:`r(\pi)`.
        samples: The number of Monte Carlo samples, if there is no closed form.

    Returns:
        The bound in nats, averaged over the batch, a scalar.

    Raises:
        TypeError: If there is no registered KL divergence, and no `rsample` or `log_prob` for an
            estimate.

    Example:
        >>> mean, log_var = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 2)
        >>> prior = mireg.diagonal_gaussian(torch.zeros(2), torch.zeros(2), batch_dims=0)
        >>> variational_bound(mireg.diagonal_gaussian(mean, log_var), prior)
        tensor(0.5000)
    """
    try:
        kl = kl_divergence(posterior, prior)
    except NotImplementedError:
        kl = _monte_carlo_kl(posterior, prior, samples)
    return full_precision(kl).mean()


def _monte_carlo_kl(posterior: Distribution, prior: Distribution, samples: int) -> Tensor:
    names = f"{type(posterior).__name__} and {type(prior).__name__}"
    if not posterior.has_rsample:
        raise TypeError(
            f"torch registers no KL divergence for {names}, and the Monte Carlo estimate needs a "
            f"posterior with rsample, got {type(posterior).__name__}"
        )
    x = posterior.rsample(torch.Size((samples,)))
    try:
        return (posterior.log_prob(x) - prior.log_prob(x)).mean(dim=0)
    except NotImplementedError as error:
        raise TypeError(
            f"torch registers no KL divergence for {names}, and the Monte Carlo estimate needs "
            "log_prob of both, which one lacks"
        ) from error


def critic_loss(
    joint: Tensor,
    marginal: Tensor,
    joint_weights: Tensor | None = None,
    marginal_weights: Tensor | None = None,
) -> Tensor:
    r"""Returns the logistic loss of eqs. (10) and (11) of Esser et al., 2019, for T and T'.

    .. math:: \mathbb{E}_{p(\pi, \alpha)} \mathrm{softplus}(-T)
        + \mathbb{E}_{p(\pi) p(\alpha)} \mathrm{softplus}(T)

    At its minimum :math:`T = \log p(\pi, \alpha) / p(\pi) p(\alpha)`, and the loss is
    :math:`2 \log 2` minus twice the Jensen-Shannon divergence.

    Arguments:
        joint: The logits of joint pairs, with shape :math:`(N,)`.
        marginal: The logits of marginal pairs, with any shape.
        joint_weights: The weights of joint pairs, with the shape of `joint` and sum 1. Equal by
            default.
        marginal_weights: The same for `marginal`.

    Returns:
        The loss, a scalar; 0 if all joint or all marginal weights are 0.

    Example:
        >>> critic_loss(torch.zeros(4), torch.zeros(4))
        tensor(1.3863)
    """
    joint, marginal = full_precision(joint), full_precision(marginal)
    loss = mean(F.softplus(-joint), joint_weights) + mean(F.softplus(marginal), marginal_weights)
    for weights in (joint_weights, marginal_weights):
        if weights is not None:
            # With pairs of one kind only, the logits would diverge.
            loss = torch.where(weights.sum() > 0, loss, 0)
    return loss


def mean_logit(
    joint: Tensor,
    marginal: Tensor | None = None,
    joint_weights: Tensor | None = None,
    marginal_weights: Tensor | None = None,
) -> Tensor:
    r"""Returns the estimate of eq. (12) of Esser et al., 2019: the mean logit of joint pairs.

    .. math:: I_T = \mathbb{E}_{p(\pi, \alpha)} T(\pi, \alpha)

    It equals :math:`I(\pi, \alpha)` for the optimal critic. For any other it is not a bound: an
    offset of T shifts it, and it can be negative.

    Arguments:
        joint: The logits of joint pairs, with shape :math:`(N,)`.
        marginal: Ignored. All estimates share one signature.
        joint_weights: As in :func:`critic_loss`.
        marginal_weights: Ignored.

    Returns:
        The estimate in nats, a scalar.

    Example:
        >>> mean_logit(torch.tensor([1.0, 0.0]))
        tensor(0.5000)
    """
    return mean(full_precision(joint), joint_weights)


def nwj(
    joint: Tensor,
    marginal: Tensor,
    joint_weights: Tensor | None = None,
    marginal_weights: Tensor | None = None,
) -> Tensor:
    r"""Returns the lower bound of Nguyen, Wainwright and Jordan.

    .. math:: I(\pi, \alpha) \geq \mathbb{E}_{p(\pi, \alpha)} T + 1
        - \mathbb{E}_{p(\pi) p(\alpha)} e^T

    References:
        | Estimating Divergence Functionals and the Likelihood Ratio by Convex Risk Minimization
        | (Nguyen et al., 2010), https://arxiv.org/abs/0809.0853

    Arguments:
        joint: The logits of joint pairs, with shape :math:`(N,)`.
        marginal: The logits of marginal pairs, with any shape.
        joint_weights: As in :func:`critic_loss`.
        marginal_weights: As in :func:`critic_loss`.

    Returns:
        The estimate in nats, a scalar.

    Example:
        >>> nwj(torch.ones(4), torch.zeros(4))
        tensor(1.)
    """
    # An overflow of exp would turn gradients into NaN.
    partition = mean(full_precision(marginal).clamp(max=80).exp(), marginal_weights)
    return mean(full_precision(joint), joint_weights) + 1 - partition


def donsker_varadhan(
    joint: Tensor,
    marginal: Tensor,
    joint_weights: Tensor | None = None,
    marginal_weights: Tensor | None = None,
) -> Tensor:
    r"""Returns the lower bound of Donsker and Varadhan, the objective of MINE.

    .. math:: I(\pi, \alpha) \geq \mathbb{E}_{p(\pi, \alpha)} T
        - \log \mathbb{E}_{p(\pi) p(\alpha)} e^T

    References:
        | Mutual Information Neural Estimation (Belghazi et al., 2018)
        | https://arxiv.org/abs/1801.04062

    Arguments:
        joint: The logits of joint pairs, with shape :math:`(N,)`.
        marginal: The logits of marginal pairs, with any shape.
        joint_weights: As in :func:`critic_loss`.
        marginal_weights: As in :func:`critic_loss`.

    Returns:
        The estimate in nats, a scalar.

    Example:
        >>> donsker_varadhan(torch.ones(4), torch.ones(4))
        tensor(0.)
    """
    partition = log_mean_exp(full_precision(marginal), marginal_weights)
    return mean(full_precision(joint), joint_weights) - partition


def smile(
    joint: Tensor,
    marginal: Tensor,
    joint_weights: Tensor | None = None,
    marginal_weights: Tensor | None = None,
    clip: float = 5.0,
) -> Tensor:
    r"""Returns the estimate of Song and Ermon: Donsker-Varadhan with a clipped partition function.

    .. math:: \mathbb{E}_{p(\pi, \alpha)} T
        - \log \mathbb{E}_{p(\pi) p(\alpha)} e^{\mathrm{clip}(T, -\tau, \tau)}

    It has less variance, but it is not a bound.

    References:
        | Understanding the Limitations of Variational Mutual Information Estimators
        | (Song and Ermon, 2020), https://arxiv.org/abs/1910.06222

    Arguments:
        joint: The logits of joint pairs, with shape :math:`(N,)`.
        marginal: The logits of marginal pairs, with any shape.
        joint_weights: As in :func:`critic_loss`.
        marginal_weights: As in :func:`critic_loss`.
        clip: The threshold :math:`\tau`.

    Returns:
        The estimate in nats, a scalar.

    Example:
        >>> smile(torch.full((4,), 7.0), torch.full((4,), 7.0))
        tensor(2.)
    """
    clipped = full_precision(marginal).clamp(-clip, clip)
    return donsker_varadhan(joint, clipped, joint_weights, marginal_weights)


def gamma_robust(
    gamma: Tensor, mi_shadow: Tensor, mi: Tensor, rate: float = 0.01, bias: float = 0.01
) -> Tensor:
    r"""Returns the next γ by eq. (18) of Esser et al., 2019.

    .. math:: \gamma \leftarrow \max(0, \gamma + l_\gamma (I_{T'} - I_T - b_\gamma))

    Arguments:
        gamma: The weight :math:`\gamma`.
        mi_shadow: The estimate :math:`I_{T'}` of the shadow critic, in nats.
        mi: The estimate :math:`I_T` of the critic, in nats.
        rate: The rate :math:`l_\gamma`.
        bias: The bias :math:`b_\gamma`, in nats.

    Returns:
        The next :math:`\gamma`.

    Example:
        >>> gamma_robust(torch.tensor(1.0), torch.tensor(0.51), torch.tensor(0.0), rate=0.1)
        tensor(1.0500)
    """
    return (gamma + rate * (mi_shadow - mi - bias)).clamp(min=0)


def gamma_variational(
    gamma: Tensor, mi_shadow: Tensor, epsilon: float, rate: float = 0.01
) -> Tensor:
    r"""Returns the next γ by eq. (24) of Esser et al., 2019, for the variational bound alone.

    .. math:: \gamma \leftarrow \max(0, \gamma + l_\gamma (I_{T'} - \epsilon))

    Arguments:
        gamma: The weight :math:`\gamma`.
        mi_shadow: The estimate :math:`I_{T'}`, in nats.
        epsilon: The target :math:`\epsilon`, in nats.
        rate: The rate :math:`l_\gamma`.

    Returns:
        The next :math:`\gamma`.

    Example:
        >>> gamma_variational(torch.tensor(1.0), torch.tensor(0.6), epsilon=0.1, rate=0.1)
        tensor(1.0500)
    """
    return (gamma + rate * (mi_shadow - epsilon)).clamp(min=0)


def variational_penalty(kl: Tensor, gamma: Tensor | float) -> Tensor:
    r"""Returns :math:`L_{VB} = \gamma \cdot \mathrm{KL}` by eq. (21) of Esser et al., 2019.

    Arguments:
        kl: The bound of eq. (9) in nats, a scalar.
        gamma: The weight :math:`\gamma`.

    Returns:
        The loss, a scalar.

    Example:
        >>> variational_penalty(torch.tensor(2.0), 0.5)
        tensor(1.)
    """
    return gamma * kl


def augmented_lagrangian(violation: Tensor, multiplier: Tensor | float, mu: float = 0.1) -> Tensor:
    r"""Returns the loss :math:`L_{MI}` of eq. (22) of Esser et al., 2019.

    .. math::
        L_{MI} = \begin{cases}
            \lambda v + \frac{\mu}{2} v^2 & \text{if } v \geq -\lambda / \mu \\
            -\frac{\lambda^2}{2 \mu} & \text{otherwise}
        \end{cases}

    Arguments:
        violation: The violation :math:`v = I_T - \epsilon` in nats, a scalar.
        multiplier: The multiplier :math:`\lambda`.
        mu: The weight :math:`\mu` of the square.

    Returns:
        The loss, a scalar.

    Example:
        >>> augmented_lagrangian(torch.tensor([1.0, -2.0]), 0.1, mu=0.1)
        tensor([ 0.1500, -0.0500])
    """
    multiplier = torch.as_tensor(multiplier, dtype=violation.dtype, device=violation.device)
    # Below the vertex at v = -λ/μ, the loss is constant at the minimum -λ²/(2μ).
    violation = torch.maximum(violation, -multiplier / mu)
    return violation * (multiplier + mu / 2 * violation)


def multiplier_step(multiplier: Tensor, violation: Tensor, mu: float = 0.1) -> Tensor:
    r"""Returns the next λ by eq. (23) of Esser et al., 2019.

    .. math:: \lambda \leftarrow \max(0, \lambda + \mu (I_T - \epsilon))

    Arguments:
        multiplier: The multiplier :math:`\lambda`.
        violation: The violation :math:`I_T - \epsilon` in nats.
        mu: The weight :math:`\mu`.

    Returns:
        The next :math:`\lambda`.

    Example:
        >>> multiplier_step(torch.tensor(0.0), torch.tensor([1.0, -1.0]), mu=0.1)
        tensor([0.1000, 0.0000])
    """
    return (multiplier + mu * violation).clamp(min=0)
