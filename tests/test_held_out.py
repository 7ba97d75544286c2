"""Held-out codes move λ, and nothing else: critics, memory and scales do not learn from them."""

import copy

import pytest
import torch

import mireg
from mireg import weights

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


def reading(penalty, nats):
    """Returns a penalty whose critics say so many nats."""
    said = {name: torch.tensor(nats) for name in ("mi", "mi_shadow") if name in penalty.metrics}
    return penalty._replace(metrics={**penalty.metrics, **said})


@pytest.mark.parametrize("make", [robust, single])
def test_the_multiplier_follows_the_greatest_estimate(make):
    constraint = make()
    penalty, other = constraint(*batch(0)), constraint(*batch(1))
    start = constraint.multiplier.state.clone()
    constraint.update(reading(penalty, 0.0), reading(other, 1.5 * EPSILON))
    # One estimate is its own average: a half of ε too much.
    assert float(constraint.multiplier.state - start) == pytest.approx(0.02 * 0.5)
    slope = constraint.multiplier.excess(
        weights.Estimates(*torch.tensor([0.0, 0.0, 0.0, 0.0, 1.5 * EPSILON]), EPSILON)
    )
    assert float(slope) == pytest.approx(1.5)


@pytest.mark.parametrize("make", [robust, single])
def test_the_price_of_a_leak_rises_with_what_held_out_codes_show(make):
    """The loss of the next step has the slope of the greater estimate."""
    torch.manual_seed(0)
    constraint = make()
    alone = copy.deepcopy(constraint)
    penalty, other = constraint(*batch(0)), constraint(*batch(1))
    for part, held_out in ((alone, None), (constraint, reading(other, 4 * EPSILON))):
        part.update(reading(penalty, EPSILON), held_out)

    def gradient(part):
        pi, alpha, posterior = batch(2)
        pi.requires_grad_()
        part.multiplier.state.fill_(0)
        loss = part(pi, alpha, posterior).loss
        return torch.autograd.grad(loss, pi)[0]

    torch.testing.assert_close(gradient(constraint), 4 * gradient(alone), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("make", [robust, single])
def test_nothing_else_learns_from_held_out_codes(make):
    torch.manual_seed(0)
    constraint = make()
    alone = copy.deepcopy(constraint)
    with torch.no_grad():
        held_out = constraint(*batch(1))
    constraint.update(constraint(*batch(0)), held_out)
    alone.update(alone(*batch(0)))
    differ = {
        name
        for (name, x), y in zip(
            constraint.state_dict().items(), alone.state_dict().values(), strict=True
        )
        if not torch.equal(x, y)
    }
    assert "held_out_average.state" in differ
    assert differ <= {"held_out_average.state", "multiplier.state"}


def test_without_held_out_codes_nothing_changes():
    """The average is 0 then, and no estimate below 0 lowers λ by more than one at 0 does."""
    zero, seen = torch.tensor(0.0), torch.tensor(-0.3)
    low, none = weights.LogMultiplier(), weights.LogMultiplier()
    low.update(weights.Estimates(seen, seen, seen, seen, seen, EPSILON))
    none.update(weights.Estimates(seen, seen, seen, seen, zero, EPSILON))
    assert torch.equal(low.state, none.state)


@pytest.mark.parametrize("make", [robust, single])
def test_one_bad_held_out_batch_moves_nothing(make):
    constraint = make()
    penalty, other = constraint(*batch(0)), constraint(*batch(1))
    constraint.update(reading(penalty, 0.04), reading(other, 0.1))
    before = constraint.held_out_average.value.clone()
    constraint.update(reading(penalty, 0.04), reading(other, float("nan")))
    assert torch.equal(constraint.held_out_average.value, before)
    assert constraint.multiplier.state.isfinite().all()


def test_composed_regularizers_pass_each_part_its_own():
    torch.manual_seed(0)
    total = 0.5 * robust() + mireg.VariationalBound() + single()
    held_out = total(*batch(1))
    total.update(total(*batch(0)), held_out)
    averages = [
        module.held_out_average.value
        for module in total.modules()
        if hasattr(module, "held_out_average")
    ]
    assert len(averages) == 2 and all(float(x) != 0 for x in averages)
    named = mireg.PerAttribute({"a": robust(), "b": single()})
    pi, alpha, posterior = batch(0)
    penalty = named(pi, {"a": alpha, "b": alpha}, posterior)
    other = named(pi, {"a": alpha, "b": 1 - alpha}, posterior)
    named.update(penalty, other)
    a, b = named.named().values()
    assert float(a.held_out_average.value) == pytest.approx(
        float(other.parts[0].metrics["mi_shadow"])
    )
    assert float(b.held_out_average.value) == pytest.approx(float(other.parts[1].metrics["mi"]))


def test_a_resumed_run_remembers_what_held_out_codes_showed():
    constraint = robust()
    constraint.update(constraint(*batch(0)), constraint(*batch(1)))
    other = robust()
    other.load_state_dict(constraint.state_dict())
    assert torch.equal(other.held_out_average.state, constraint.held_out_average.state)


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
