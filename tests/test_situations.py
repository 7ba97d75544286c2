"""What users of related libraries have met, tried here. The sources are in docs/robustness.md."""

import gc
import re
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from problems import (
    ALPHA,
    CLASSES,
    PI,
    codes,
    copied,
    correlated_gaussians,
    held_out,
    no_encoder,
    optimizer_of,
    small,
    train_on,
)
from torch.distributions import Normal
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import mireg
from mireg import weights
from mireg.regularizers import _misuse

FAQ = (Path(__file__).parents[1] / "docs" / "faq.md").read_text()
ENTRIES = re.findall(r'^#+ "(.*?)"$', FAQ, re.MULTILINE)


def entry_of(message):
    """Returns the entry of the FAQ whose heading is part of a message; an ellipsis stands for anything."""
    for entry in ENTRIES:
        if all(part.strip() in message for part in entry.split("…")):
            return entry
    return None


# --- batches ---------------------------------------------------------------


@no_encoder
@pytest.mark.parametrize("n", [512, 1024])
@pytest.mark.parametrize("label", [True, False], ids=["label", "code"])
def test_a_large_batch_ordered_by_alpha_hides_nothing(n, label):
    """As torch.cat of the batches of two domains does. All of alpha is in pi."""
    torch.manual_seed(0)
    parts = {"classes": 2} if label else {"alpha_features": 1}
    constraint = mireg.RobustMIConstraint(2, **parts)
    optimizer = torch.optim.Adam(constraint.parameters(), lr=3e-3)
    s = torch.arange(n) * 2 // n
    alpha = s if label else s[:, None].float()
    for _ in range(40):
        posterior = mireg.diagonal_gaussian(s[:, None].expand(n, 2).float(), torch.full((n, 2), -4))
        penalty = train_on(constraint, optimizer, posterior.rsample(), alpha, posterior)
    assert penalty.metrics["mi"] > 0.4 and penalty.metrics["mi_shadow"] > 0.4


# --- sensitive attributes -----------------------------------------------------


@pytest.mark.parametrize("shape", [(16,), (16, 1), (16, 3)])
def test_missing_values_of_an_attribute_are_counted(shape):
    attribute = torch.randn(shape)
    attribute[3], attribute[5] = torch.nan, torch.inf
    features = 1 if len(shape) == 1 else shape[1]
    for constraint in (mireg.RobustMIConstraint(PI, features), mireg.ClassifierMI(PI, features)):
        with pytest.raises(ValueError, match="NaN or infinity in 2 of 16 rows") as caught:
            constraint(codes()[1], attribute, codes()[3])
        assert entry_of(str(caught.value))
        constraint(codes()[1], attribute.nan_to_num(posinf=0), codes()[3])


@pytest.mark.parametrize(
    "attribute",
    [np.r_[np.nan, np.zeros(599)], np.array(["a", "b", None] * 200, dtype=object)],
    ids=["numbers", "words"],
)
def test_an_audit_names_missing_values(attribute):
    with pytest.raises(
        (TypeError, ValueError), match="alpha must be .* declare (unknown|missing) values"
    ):
        mireg.audit(np.random.default_rng(0).normal(size=(600, 3)), attribute)


def test_an_attribute_in_columns_is_told_how_to_become_labels():
    _, pi, _, posterior = codes()
    constraint = mireg.RobustMIConstraint(PI, classes=3)
    one_hot = torch.eye(8)[torch.arange(16) % 8]
    with pytest.raises(ValueError, match=r"\(16, 8\): pass alpha.argmax\(1\) if rows are one-hot"):
        constraint(pi, one_hot, posterior)
    with pytest.raises(
        ValueError, match="labels must be from 0 to 2, or below 0 if unknown, got 7"
    ):
        constraint(pi, one_hot.argmax(1), posterior)
    mireg.RobustMIConstraint(PI, 8)(pi, one_hot, posterior)


@pytest.mark.parametrize("known", [0, 1, 2])
def test_batches_with_hardly_any_label_break_nothing(known):
    constraint = mireg.RobustMIConstraint(PI, classes=CLASSES, rows=32, critic=lambda: Cheap(PI))
    optimizer = optimizer_of(constraint)
    for seed in range(6):
        _, pi, _, posterior = codes(16, seed)
        labels = torch.full((16,), -1)
        labels[:known] = torch.arange(known) + seed % 2
        penalty = train_on(constraint, optimizer, pi, labels, posterior)
    assert all(value.isfinite() for value in penalty.metrics.values())
    assert all(tensor.isfinite().all() for tensor in constraint.state_dict().values())
    if not known:
        assert penalty.metrics["mi"] == penalty.metrics["mi_shadow"] == 0


# --- memories -----------------------------------------------------------------


@no_encoder
@pytest.mark.parametrize(("nats", "low", "high"), [(0.0, -0.1, 0.06), (1.0, 0.5, 1.05)])
def test_small_batches_beside_a_memory_read_what_is_there(nats, low, high):
    constraint = mireg.ClassifierMI(2, 2, critic=small(2, 2, 32), rows=64)
    optimizer = torch.optim.Adam(constraint.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(200):
        train_on(constraint, optimizer, *correlated_gaussians(16, nats, 2, generator))
    batches = [correlated_gaussians(512, nats, 2, generator) for _ in range(4)]
    assert low < held_out(constraint, batches) < high


def test_nothing_grows_with_the_number_of_steps():
    constraint = mireg.RobustMIConstraint(PI, ALPHA, critic=small())
    optimizer = optimizer_of(constraint)
    sizes = {name: x.shape for name, x in copied(constraint).items()}
    logged, seen = [], []
    for seed in range(12):
        mean, pi, alpha, posterior = codes(16, seed)
        penalty = train_on(constraint, optimizer, pi, alpha, posterior)
        seen += [weakref.ref(x) for x in (mean, pi, alpha)]
        logged.append(penalty.metrics)
    del mean, pi, alpha, posterior, penalty
    gc.collect()
    # Metrics that are kept keep no graph alive, and so no code.
    assert not any(ref() is not None for ref in seen)
    assert all(value.grad_fn is None for metrics in logged for value in metrics.values())
    assert {name: x.shape for name, x in copied(constraint).items()} == sizes


def test_a_batch_that_is_larger_than_the_memory_is_taken():
    features = 20_000
    constraint = mireg.ClassifierMI(features, classes=CLASSES, critic=lambda: Cheap(features))
    capacity = constraint.critics.memory.capacity
    assert capacity < 128
    optimizer = optimizer_of(constraint)
    for n in (16, capacity + 28, 7, capacity):
        penalty = train_on(constraint, optimizer, torch.randn(n, features), torch.arange(n) % 2)
        assert penalty.metrics["mi"].isfinite()
    with pytest.raises(ValueError, match="labels must be from 0 to 3"):
        constraint(torch.randn(4, features), torch.full((4,), CLASSES))


class Cheap(mireg.LabelCritic):
    """A critic of long codes that costs nothing."""

    def __init__(self, features):
        super().__init__(features, CLASSES, width=4, depth=1)


# --- numbers that are not finite ----------------------------------------------


def test_critics_that_a_bad_step_has_spoilt_are_named(monkeypatch):
    monkeypatch.setattr(_misuse, "FIRST_CHECK", 4)
    constraint = mireg.RobustMIConstraint(PI, ALPHA, critic=small())
    optimizer = optimizer_of(constraint)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for seed in range(16):
            _, pi, alpha, posterior = codes(16, seed)
            if seed == 1:
                pi = pi * torch.inf
            train_on(constraint, optimizer, pi, alpha, posterior)
    said = [str(warning.message) for warning in caught]
    assert len(said) == 1 and "the critics are no longer finite" in said[0]
    assert entry_of(said[0])
    # The weights and what is remembered are as they were.
    controllers = [m for m in constraint.modules() if isinstance(m, weights.Controller)]
    assert all(controller.state.isfinite().all() for controller in controllers)
    assert constraint.critics.memory.pi.isfinite().all()


MULTIPLIERS = {
    "default": lambda: None,
    "eq. (23)": lambda: weights.Multiplier(),
    "none": lambda: weights.FixedMultiplier(0),
}
GAMMAS = {
    "default": lambda: None,
    "eq. (18)": lambda: weights.RobustGamma(),
    "eq. (24)": lambda: weights.VariationalGamma(),
    "none": lambda: weights.FixedGamma(0),
}


@pytest.mark.filterwarnings("ignore:.*less than any critic can measure")
@pytest.mark.parametrize("multiplier", MULTIPLIERS)
@pytest.mark.parametrize("gamma", GAMMAS)
def test_zeros_in_the_settings_divide_nothing(multiplier, gamma):
    parts = {"multiplier": MULTIPLIERS[multiplier](), "gamma": GAMMAS[gamma]()}
    constraint = mireg.RobustMIConstraint(PI, ALPHA, epsilon=0, critic=small(), rows=0, **parts)
    optimizer = optimizer_of(constraint)
    for seed in range(6):
        mean, pi, alpha, posterior = codes(16, seed)
        penalty = train_on(constraint, optimizer, pi, alpha, posterior)
    assert penalty.loss.isfinite() and mean.grad.isfinite().all()
    assert all(tensor.isfinite().all() for tensor in constraint.state_dict().values())
    with pytest.raises(ValueError, match="mu must be above 0"):
        weights.Multiplier(mu=0)


@pytest.mark.parametrize("log_var", [-1e4, -200.0, 200.0, 1e4])
def test_a_log_variance_without_limits_moves_no_weight(log_var):
    constraint = mireg.RobustMIConstraint(PI, ALPHA, critic=small())
    before = copied(constraint)
    mean = torch.randn(16, PI)
    posterior = mireg.diagonal_gaussian(mean, torch.full_like(mean, log_var))
    penalty = constraint(posterior.rsample(), torch.randn(16, ALPHA), posterior)
    constraint.update(penalty)
    if penalty.metrics["kl"].isfinite():
        assert log_var == -200 and penalty.metrics["kl"] > 400
        return
    moved = {n for n, x in constraint.state_dict().items() if not x.equal(before[n])}
    assert moved <= {"critics.negatives.step"}


def test_a_posterior_of_nan_is_torchs_error_or_a_metric():
    mean = torch.full((16, PI), torch.nan)
    with pytest.raises(ValueError, match="Expected parameter loc") as caught:
        # The default, which torch.compile switches off for the whole process.
        Normal(mean, torch.ones_like(mean), validate_args=True)
    assert entry_of(str(caught.value))
    posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
    constraint = mireg.RobustMIConstraint(PI, ALPHA, critic=small())
    penalty = constraint(posterior.rsample(), torch.randn(16, ALPHA), posterior)
    constraint.update(penalty)
    assert penalty.metrics["mi"].isnan() and constraint.multiplier.value == 1


# --- states -------------------------------------------------------------------


def test_a_state_of_other_parts_is_refused():
    saved = mireg.RobustMIConstraint(PI, ALPHA)
    saved.multiplier.state.fill_(-1.5)
    parts = {"multiplier": weights.Multiplier(), "gamma": weights.RobustGamma()}
    with pytest.raises(
        RuntimeError, match=r"for Multiplier, got \[-1.5\].*another\s+kind"
    ) as caught:
        mireg.RobustMIConstraint(PI, ALPHA, **parts).load_state_dict(saved.state_dict())
    assert "for RobustGamma, got [-2.3" in str(caught.value)
    with pytest.raises(RuntimeError, match="Missing key"):
        mireg.RobustMIConstraint.paper(PI, ALPHA).load_state_dict(saved.state_dict())
    twin = mireg.RobustMIConstraint(PI, ALPHA)
    twin.load_state_dict(saved.state_dict())
    assert twin.multiplier.state == -1.5


@pytest.mark.filterwarnings("ignore")  # torch's own, of averages
def test_an_average_of_weights_reads_as_its_own_numbers_say():
    """Without `use_buffers` buffers are copied. With it torch averages remembered codes and rounds counters down: such a memory counts as empty."""
    negatives = mireg.pairs.ShiftedNegatives(2)
    constraint = mireg.RobustMIConstraint(PI, ALPHA, critic=small(), negatives=negatives)
    copies = AveragedModel(constraint, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    averages = AveragedModel(constraint, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    optimizer = optimizer_of(constraint)
    for seed in range(6):
        train_on(constraint, optimizer, *codes(16, seed)[1:])
        copies.update_parameters(constraint)
        averages.update_parameters(constraint)
    live = dict(constraint.named_buffers())
    for name, buffer in copies.module.named_buffers():
        assert buffer.equal(live[name]), name
    lagging = averages.module.critics
    assert lagging.memory.count < constraint.critics.memory.count
    assert not lagging.memory.whole() and constraint.critics.memory.whole()
    batch = codes(16, 9)[1:]
    said = averages.module(*batch).metrics["mi"]
    for buffer in lagging.memory.buffers():
        buffer.zero_()
    assert averages.module(*batch).metrics["mi"] == said
    # One that goes on learning fills its memory anew.
    train_on(averages.module, optimizer_of(averages.module), *batch)
    assert lagging.memory.whole() and lagging.memory.count == 16


# --- errors of torch that a loop can meet --------------------------------------


class Loop:
    """An encoder, a constraint and an optimizer of each."""

    def __init__(self):
        self.encoder = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, PI)
        )
        self.constraint = mireg.RobustMIConstraint(PI, ALPHA)
        self.optimizer = torch.optim.Adam(self.encoder.parameters())
        self.critic_optimizer = optimizer_of(self.constraint)

    def penalty(self):
        mean = self.encoder(torch.randn(16, 4))
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        return self.constraint(posterior.rsample(), torch.randn(16, ALPHA), posterior)


def critics_step_first(loop):
    penalty = loop.penalty()
    penalty.critic_loss.backward()
    loop.critic_optimizer.step()
    penalty.loss.backward()


def encoder_steps_first(loop):
    penalty = loop.penalty()
    sum(p.square().sum() for p in loop.encoder.parameters()).backward()
    loop.optimizer.step()
    penalty.loss.backward()


def penalty_used_twice(loop):
    penalty = loop.penalty()
    for _ in range(2):
        penalty.loss.backward()


def under_no_grad(loop):
    with torch.no_grad():
        penalty = loop.penalty()
    (penalty.loss + penalty.critic_loss).backward()


def another_type(loop):
    loop.constraint.critics.critics[0](torch.randn(4, PI).double(), torch.randn(4, ALPHA).double())


def another_device(loop):
    _, pi, alpha, posterior = codes()
    loop.constraint(pi, alpha.to("meta"), posterior)


def critics_on_another_device(loop):
    loop.constraint.to("meta")
    loop.penalty()


@pytest.mark.parametrize(
    "mistake",
    [
        critics_step_first,
        encoder_steps_first,
        penalty_used_twice,
        under_no_grad,
        another_type,
        another_device,
        critics_on_another_device,
    ],
)
def test_each_error_that_a_loop_can_meet_has_its_entry_in_the_faq(mistake):
    with pytest.raises((RuntimeError, ValueError)) as caught:
        mistake(Loop())
    assert entry_of(str(caught.value)), str(caught.value)
