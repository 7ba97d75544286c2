"""Held-out codes move the weights, and nothing else: critics, memory and scales do not learn from them."""

import copy

import pytest
import torch

import mireg
from mireg import weights
from mireg.regularizers import _misuse

EPSILON = 0.05


def robust():
    return mireg.RobustMIConstraint(3, classes=2, epsilon=EPSILON)


def single():
    return mireg.ClassifierMI(3, classes=2, epsilon=EPSILON)


def batch(seed, n=32):
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(n, 3, generator=generator)
    posterior = mireg.diagonal_gaussian(mean, torch.zeros(n, 3))
    pi = mean + torch.randn(n, 3, generator=generator)
    return pi, torch.randint(2, (n,), generator=generator), posterior


def reading(penalty, nats, shadow=None):
    """Returns a penalty whose critics say so many nats, T' as many as T by default."""
    said = {"mi": nats, "mi_shadow": nats if shadow is None else shadow}
    said = {name: torch.tensor(x) for name, x in said.items() if name in penalty.metrics}
    return penalty._replace(metrics={**penalty.metrics, **said})


def average_of(constraint):
    """Returns the moving average of what T estimates on held-out codes."""
    return constraint.held_out[0] if hasattr(constraint, "averages") else constraint.held_out


@pytest.mark.parametrize("make", [robust, single])
@pytest.mark.parametrize("on_training", [0.0, 1.2 * EPSILON])
def test_the_multiplier_follows_held_out_codes(make, on_training):
    """Encoders hide some of what they reveal of new samples from critics of training samples."""
    constraint = make()
    penalty, other = constraint(*batch(0)), constraint(*batch(1))
    start = constraint.multiplier.state.clone()
    constraint.update(reading(penalty, on_training), reading(other, 1.5 * EPSILON))
    # One estimate is its own average: a half of ε too much.
    assert float(constraint.multiplier.state - start) == pytest.approx(0.02 * 0.5)


@pytest.mark.parametrize("make", [robust, single])
def test_the_multiplier_heeds_training_codes_beside_held_out_ones(make):
    """Critics that overfit find little in new codes, whatever these reveal."""
    constraint = make()
    penalty, other = constraint(*batch(0)), constraint(*batch(1))
    start = constraint.multiplier.state.clone()
    constraint.update(reading(penalty, 1.4 * EPSILON), reading(other, 0.0))
    assert float(constraint.multiplier.state - start) == pytest.approx(0.02 * 0.4)


def test_held_out_codes_replace_what_unlimited_codes_would_show():
    """On training codes, 2 I(T') - I(T) counts what critics memorise twice."""
    for held_out, moved in ((None, 0.7), (0.0, 0.1)):
        constraint = robust()
        penalty, other = constraint(*batch(0)), constraint(*batch(1))
        start = constraint.multiplier.state.clone()
        penalty = reading(penalty, 0.5 * EPSILON, 1.1 * EPSILON)
        constraint.update(penalty, None if held_out is None else reading(other, held_out))
        assert float(constraint.multiplier.state - start) == pytest.approx(0.02 * moved)


@pytest.mark.parametrize("make", [robust, single])
def test_between_held_out_batches_the_multiplier_follows_the_last_ones(make):
    constraint = make()
    penalty, other = constraint(*batch(0)), constraint(*batch(1))
    constraint.update(reading(penalty, 0.0), reading(other, 1.5 * EPSILON))
    start, seen = constraint.multiplier.state.clone(), average_of(constraint).state.clone()
    constraint.update(reading(penalty, 0.0))
    assert average_of(constraint).state.equal(seen)
    assert float(constraint.multiplier.state - start) == pytest.approx(0.02 * 0.5)


@pytest.mark.parametrize("make", [robust, single])
def test_the_price_of_a_leak_is_that_of_held_out_codes(make):
    """The slope of the next loss rises with their estimate."""
    torch.manual_seed(0)
    constraint = make()
    penalty, other = constraint(*batch(0)), constraint(*batch(1))

    def gradient(leak):
        part = copy.deepcopy(constraint)
        part.update(reading(penalty, 2 * EPSILON), reading(other, leak))
        part.multiplier.state.fill_(0)
        pi, alpha, posterior = batch(2)
        pi.requires_grad_()
        return torch.autograd.grad(part(pi, alpha, posterior).loss, pi)[0]

    three, four, five = (gradient(x * EPSILON) for x in (3, 4, 5))
    assert (four - three).norm() > 1e-3 * three.norm() > 0
    torch.testing.assert_close(five - four, four - three, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("make", [robust, single])
def test_nothing_else_learns_from_held_out_codes(make):
    torch.manual_seed(0)
    constraint = make()
    alone = copy.deepcopy(constraint)
    with torch.no_grad():
        held_out = constraint(*batch(1))
    constraint.update(constraint(*batch(0)), held_out)
    alone.update(alone(*batch(0)))
    pairs = zip(constraint.state_dict().items(), alone.state_dict().values(), strict=True)
    differ = {name for (name, x), y in pairs if not torch.equal(x, y)}
    assert any("held_out" in name for name in differ)
    moved = ("held_out.", "multiplier.", "estimators.")
    assert {name for name in differ if not any(part in name for part in moved)} == set()


@pytest.mark.parametrize("make", [robust, single])
def test_one_bad_held_out_batch_moves_nothing(make):
    constraint = make()
    penalty, other = constraint(*batch(0)), constraint(*batch(1))
    constraint.update(reading(penalty, 0.04), reading(other, 0.1))
    before = average_of(constraint).state.clone()
    constraint.update(reading(penalty, 0.04), reading(other, float("nan")))
    assert average_of(constraint).state.equal(before)
    assert constraint.multiplier.state.isfinite().all()


def test_the_gap_of_training_codes_moves_the_price_of_all_information():
    """It stays high while critics memorise, and codes could hide what only new critics find."""
    constraint = robust()
    alone = copy.deepcopy(constraint)
    penalty, other = constraint(*batch(0)), constraint(*batch(1))
    penalty = reading(penalty, 0.0, 2 * EPSILON)
    for part in (constraint, alone):
        part.gamma.state.fill_(-5.0)
    constraint.update(penalty, reading(other, EPSILON))
    alone.update(penalty)
    assert constraint.gamma.state.equal(alone.gamma.state)
    assert constraint.gamma.state > -5


def memorise(constraint, gap, held_out=None, updates=16):
    """Updates a constraint whose T' estimates more than T by so many nats."""
    penalty = reading(constraint(*batch(0)), 0.0, gap)
    for _ in range(updates):
        constraint.update(penalty, held_out)


def test_critics_that_seem_to_memorise_are_named_once(monkeypatch):
    monkeypatch.setattr(_misuse, "FIRST_CHECK", 1)
    constraint = robust()
    # The critics of this test do not learn, which is another fault.
    constraint.misuse.said |= {"critics", "gradients"}
    with pytest.warns(UserWarning, match="pass update a penalty of others, held_out") as seen:
        memorise(constraint, 0.3 * EPSILON, updates=40)
    assert len(seen) == 1 and "gap" in constraint.faults()


@pytest.mark.parametrize("case", ["small gap", "early", "low", "constant", "held out"])
def test_a_gap_alone_is_no_sign_of_memorised_samples(monkeypatch, case):
    monkeypatch.setattr(_misuse, "FIRST_CHECK", 1)
    constraint = robust()
    if case == "constant":
        constraint.gamma = weights.RelativeGamma(rate=0)
    if case == "low":
        constraint.gamma.state.fill_(-5.0)
    with torch.no_grad():
        held_out = reading(constraint(*batch(1)), EPSILON) if case == "held out" else None
    constraint.misuse.said |= {"critics", "gradients"}
    gap = 0.2 if case == "small gap" else 0.3
    memorise(constraint, gap * EPSILON, held_out, 15 if case == "early" else 40)
    assert "gap" not in constraint.faults()


def test_composed_regularizers_pass_each_part_its_own():
    torch.manual_seed(0)
    total = 0.5 * robust() + mireg.VariationalBound() + single()
    held_out = total(*batch(1))
    total.update(total(*batch(0)), held_out)
    given = [average_of(x).value for x in total.modules() if hasattr(x, "held_out")]
    assert len(given) == 2 and all(given)
    named = mireg.PerAttribute({"a": robust(), "b": single()})
    pi, alpha, posterior = batch(0)
    penalty = named(pi, {"a": alpha, "b": alpha}, posterior)
    other = named(pi, {"a": alpha, "b": 1 - alpha}, posterior)
    named.update(penalty, other)
    for constraint, part in zip(named.named().values(), other.parts, strict=True):
        assert float(average_of(constraint).value) == pytest.approx(float(part.metrics["mi"]))


def test_a_resumed_run_remembers_that_there_were_held_out_codes():
    constraint, other = robust(), robust()
    constraint.update(constraint(*batch(0)), constraint(*batch(1)))
    other.load_state_dict(constraint.state_dict())
    for part in (constraint, other):
        part.update(reading(part(*batch(2)), 1.0))
    assert other.multiplier.state.equal(constraint.multiplier.state)


def test_what_is_no_held_out_penalty_is_refused_with_the_fix():
    constraint = robust()
    penalty = constraint(*batch(0))
    with pytest.raises(ValueError, match="that no encoder is trained on, got the penalty of this"):
        constraint.update(penalty, penalty)
    with pytest.raises(ValueError, match="takes the penalty that it returned"):
        constraint.update(penalty, single()(*batch(1)))
    published = mireg.RobustMIConstraint.paper(3, classes=2)
    first, second = published(*batch(0)), published(*batch(1))
    with pytest.raises(TypeError, match=r"LogMultiplier\(\), got Multiplier, which ignores it"):
        published.update(first, second)
    with pytest.raises(ValueError, match="Sum takes the penalty"):
        (robust() + single()).update((robust() + single())(*batch(0)), penalty)


def test_a_compiled_step_with_held_out_codes_gives_the_same_numbers():
    torch.manual_seed(0)
    constraint = robust()
    other = copy.deepcopy(constraint)

    def step(constraint, codes, held):
        penalty = constraint(*codes)
        with torch.no_grad():
            held_out = constraint(*held)
        constraint.update(penalty, held_out)
        return penalty.loss

    compiled = torch.compile(step, fullgraph=True, backend="eager")
    for seed in range(4):
        codes, held = batch(seed), batch(100 + seed)
        torch.testing.assert_close(compiled(constraint, codes, held), step(other, codes, held))
    assert torch.equal(constraint.multiplier.state, other.multiplier.state)
