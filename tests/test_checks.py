"""What comes in: labels of any kind, attributes, settings, and errors that name what was required, what came and what to do."""

import math

import numpy as np
import pytest
import torch
from problems import (
    ALPHA,
    CLASSES,
    PI,
    REGULARIZERS,
    codes,
    controllers_of,
    optimizer_of,
    tensors,
    train_on,
)
from torch.distributions import Independent, Normal

import mireg
from mireg import pairs, weights

MAKERS = [mireg.ClassifierMI, mireg.RobustMIConstraint]


def call(regularizer=None, **changes):
    """Calls a regularizer with good codes but for some changes."""
    _, pi, alpha, posterior = codes()
    arguments = {"pi": pi, "alpha": alpha, "posterior": posterior, **changes}
    regularizer = regularizer or mireg.RobustMIConstraint(PI, ALPHA)
    return regularizer(arguments.pop("pi"), arguments.pop("alpha"), **arguments)


BAD_CALLS = [
    (
        dict(pi=torch.randn(1, PI), alpha=torch.randn(1, ALPHA)),
        "at least 2 samples, got a batch of 1: use drop_last=True",
    ),
    (dict(alpha=torch.randn(9, ALPHA)), r"same batch size, got shapes \(16, 5\) and \(9, 7\)"),
    (dict(pi=torch.randn(16, 6)), r"pi must have shape \(N, 5\), got \(16, 6\).*pi_features=6"),
    (
        dict(pi=torch.randn(16, ALPHA), alpha=torch.randn(16, PI)),
        r"pi must have shape \(N, 5\), got \(16, 7\): pi and alpha are exchanged",
    ),
    (dict(alpha=torch.randn(16, 6)), r"alpha must have shape \(N, 7\), got \(16, 6\)"),
    (dict(alpha=torch.ones(16, ALPHA, dtype=torch.int64)), "floating-point codes, got torch.int64"),
    (dict(alpha=torch.ones(16)), r"got \(16,\).*classes= if alpha is a label.*alpha_features=1"),
    (dict(alpha=torch.tensor(1.0)), "same batch size"),
    (dict(pi=torch.ones(16, PI, dtype=torch.int64)), "floating-point codes.*int64"),
    (dict(pi=torch.ones(16)), r"shape \(N, \*\), got torch.float32 with shape \(16,\)"),
    (dict(posterior=None), "needs the posterior of pi, got None"),
    (
        dict(posterior=Normal(torch.zeros(16, PI), 1.0)),
        r"event shape \(5,\), like pi, got batch shape \(16, 5\) and event shape \(\)",
    ),
    (
        dict(posterior=Independent(Normal(torch.zeros(16, 3), 1.0), 1)),
        r"got batch shape \(16,\) and event shape \(3,\): pass the posterior that pi was drawn from",
    ),
    (
        dict(posterior=Independent(Normal(torch.zeros(8, PI), 1.0), 1)),
        r"got batch shape \(8,\) and event shape \(5,\): pass the posterior that pi was drawn from",
    ),
    (
        dict(groups=torch.zeros(3)),
        r"groups must have shape \(16,\), one identity per sample, got \(3,\)",
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
    with pytest.raises(
        TypeError, match=r"pi must be a tensor, got list: pass torch.as_tensor\(pi\)"
    ):
        call(pi=[1.0])
    with pytest.raises(TypeError, match="alpha must be a tensor, got ndarray"):
        call(alpha=np.zeros((16, ALPHA)))
    with pytest.raises(TypeError, match=r"groups must be a tensor, got list.*as_tensor\(groups\)"):
        call(groups=[1] * 16)
    posterior = codes()[3]
    with pytest.raises(TypeError, match=r"pi must be a tensor, got Independent: .*pi.rsample\(\)"):
        call(pi=posterior)
    with pytest.raises(TypeError, match="alpha must be a tensor, got dict: .*PerAttribute"):
        call(alpha={"sex": torch.zeros(16)})
    with pytest.raises(TypeError, match="alpha must be a tensor, got tuple$"):
        call(alpha=(torch.zeros(16), torch.zeros(16)))
    with pytest.raises(TypeError, match="must be a torch Distribution, got Tensor"):
        call(posterior=torch.zeros(16, PI))


def test_a_loss_instead_of_its_penalty_is_named():
    constraint = mireg.RobustMIConstraint(PI, ALPHA)
    with pytest.raises(ValueError, match="got Tensor: pass the penalty itself, not its loss"):
        constraint.update(call(constraint).loss)


def test_a_column_as_condition_is_named():
    constraint = mireg.RobustMIConstraint(PI, ALPHA, given_classes=2)
    with pytest.raises(ValueError, match=r"given must be integer labels.*given.squeeze\(1\)"):
        call(constraint, given=torch.zeros(16, 1, dtype=torch.int64))


# --- labels -----------------------------------------------------------------

LABELS = torch.arange(16) % CLASSES
INTEGERS = ["uint8", "int8", "int16", "int32", "int64", "uint16", "uint32"]


def labelled(make, negatives=None, classes=CLASSES, rows=256):
    torch.manual_seed(0)
    return make(PI, classes=classes, negatives=negatives, rows=rows)


def of_labels(regularizer, labels, n=16, groups=None, odd=16):
    """Returns all that is said of labels, in the second of two steps, with the gradient for pi.

    Codes from row `odd` on are on another scale, and the last one is NaN.
    """
    optimizer = optimizer_of(regularizer)
    for seed in range(2):
        _, pi, _, posterior = codes(16, seed)
        pi = pi[:n].detach().clone()
        pi[odd:] *= 30
        pi[max(odd, 15) :] = torch.nan
        pi.requires_grad_()
        part = mireg.diagonal_gaussian(posterior.mean[:n], torch.zeros(n, PI))
        penalty = train_on(regularizer, optimizer, pi, labels, part, groups)
    return {**tensors(penalty), "gradient": pi.grad}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("dtype", [name for name in INTEGERS if hasattr(torch, name)])
def test_labels_of_any_integer_type_are_labels(make, dtype):
    got = of_labels(labelled(make), LABELS.to(getattr(torch, dtype)))
    torch.testing.assert_close(got, of_labels(labelled(make), LABELS), rtol=0, atol=0)


@pytest.mark.parametrize("make", MAKERS)
def test_truth_values_are_labels(make):
    truth = LABELS > 1
    got = of_labels(labelled(make, classes=2), truth)
    torch.testing.assert_close(got, of_labels(labelled(make, classes=2), truth.long()))


def test_the_order_of_classes_and_classes_that_are_missing_do_not_matter():
    for labels in (LABELS.flip(0), LABELS.clamp(max=1), LABELS // 3 * 3):
        assert of_labels(labelled(mireg.RobustMIConstraint), labels)["loss"].isfinite()


def test_labels_that_start_at_1_are_named():
    partly_known = torch.where(torch.arange(16) < 2, -1, LABELS + 1)
    for labels in (LABELS + 1, partly_known):
        with pytest.raises(ValueError, match="from 0 to 3, .*got 4: subtract 1 if the first class"):
            of_labels(labelled(mireg.RobustMIConstraint), labels)


PAIRINGS = {
    "classes": lambda: pairs.ClassNegatives(CLASSES),
    "all": lambda: pairs.AllNegatives(),
    "shifted": lambda: pairs.ShiftedNegatives(30),
}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("rows", [0, 64])
def test_unknown_labels_take_no_part_in_any_pairing(make, pairing, grouped, rows):
    """A batch whose last samples are unknown is read, and learnt from, as the batch without them."""
    labels, n = LABELS.clone(), 11
    labels[n:] = torch.tensor([-1, -1, -7, -1, -100])
    groups = torch.arange(16) // 2 if grouped else None
    whole, known = (labelled(make, PAIRINGS[pairing](), rows=rows) for _ in range(2))
    got = of_labels(whole, labels, groups=groups, odd=n)
    expected = of_labels(known, LABELS[:n], n, None if groups is None else groups[:n])
    assert not got["gradient"][n:].any()
    if pairing == "shifted" and rows:
        # The shifts of a block of another size are others, and pairs with what was not written count less.
        assert got["mi"].isfinite()
        return
    names = ["mi", "accuracy", "critic_loss"]
    for name in names + ["mi_shadow"] * (make is mireg.RobustMIConstraint):
        torch.testing.assert_close(got[name], expected[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("known", [0, 1])
def test_a_batch_without_known_pairs_teaches_nothing(pairing, known):
    constraint = labelled(mireg.RobustMIConstraint, PAIRINGS[pairing](), rows=0)
    labels = torch.full((16,), -1)
    labels[:known] = 2
    said = of_labels(constraint, labels)
    assert said["critic_loss"] == 0
    # The moments of no code are NaN, which moves no average.
    assert said.pop("pi").isnan().all() == (not known)
    assert all(value.isfinite().all() for value in said.values())
    assert all(value.isfinite().all() for value in constraint.state_dict().values())


NOT_LABELS = {
    "one-hot integers": (torch.eye(16, CLASSES).long(), r"alpha.argmax\(1\) if rows are one-hot"),
    "one-hot floats": (torch.eye(16, CLASSES), r"alpha.argmax\(1\) if rows are one-hot"),
    "several at once": (torch.ones(16, CLASSES).bool(), r"alpha_features=.*several may be true"),
    "floats": (LABELS.float(), r"pass alpha.nan_to_num\(nan=-1\).long\(\) if the values are class"),
    "a column": (LABELS[:, None], r"pass alpha.squeeze\(1\).long\(\)"),
    "a column of floats": (
        LABELS[:, None].float(),
        r"pass alpha.squeeze\(1\).nan_to_num\(nan=-1\).long\(\) if the values are class",
    ),
    "a map": (LABELS.view(16, 1, 1), r"shape \(16, 1, 1\): use alpha_features= instead"),
}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("kind", NOT_LABELS)
def test_labels_of_another_kind_get_an_error_that_says_what_to_do(make, kind):
    alpha, fix = NOT_LABELS[kind]
    with pytest.raises(ValueError, match=rf"labels must be integers with shape \(N,\), got.*{fix}"):
        call(labelled(make), alpha=alpha)


NOT_NUMBERED = {
    "names in a list": ("alpha", ["a", "b"] * 8),
    "names in an array": ("alpha", np.array(["a", "b"] * 8)),
    "names of groups": ("groups", ["a", "b"] * 8),
}


@pytest.mark.parametrize("name", NOT_NUMBERED)
def test_names_get_an_error_that_says_how_to_number_them(name):
    argument, values = NOT_NUMBERED[name]
    fix = rf"number the names, such as with numpy.unique\({argument}, return_inverse=True\)\[1\]"
    with pytest.raises(TypeError, match=fix):
        call(labelled(mireg.RobustMIConstraint), **{"alpha": LABELS, argument: values})


def test_groups_are_integers():
    with pytest.raises(ValueError, match=r"groups must be integers, got torch.float32: number"):
        call(labelled(mireg.RobustMIConstraint), alpha=LABELS, groups=torch.rand(16))


GIVEN = {
    "one-hot": (torch.eye(16, CLASSES), r"pass given.argmax\(1\) if rows are one-hot, or make"),
    "floats": (LABELS.float(), r"pass given.long\(\) if the values are class numbers, or make"),
    "a column": (LABELS[:, None], r"pass given.squeeze\(1\).long\(\)"),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_given_labels_of_another_kind_get_an_error_that_says_what_to_do(kind):
    constraint = mireg.RobustMIConstraint(PI, classes=CLASSES, given_classes=CLASSES)
    given, fix = GIVEN[kind]
    with pytest.raises(ValueError, match=fix):
        call(constraint, alpha=LABELS, given=given)


def test_the_fixes_that_errors_name_work():
    constraint = labelled(mireg.RobustMIConstraint)
    expected = call(constraint, alpha=LABELS).loss
    one_hot = torch.nn.functional.one_hot(LABELS)
    for fixed in (
        one_hot.argmax(1),
        LABELS.float().long(),
        LABELS[:, None].float().squeeze(1).long(),
    ):
        assert call(constraint, alpha=fixed).loss.equal(expected)
    assert call(mireg.RobustMIConstraint(PI, CLASSES), alpha=one_hot.float()).loss.isfinite()


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.int16])
def test_labels_out_of_range_are_named(dtype):
    regularizer = mireg.ClassifierMI(3, classes=4)
    with pytest.raises(ValueError, match="labels must be from 0 to 3, or below 0.*got 4"):
        regularizer(torch.zeros(5, 3), torch.arange(5).to(dtype))
    with pytest.raises(ValueError, match="labels must be from 0 to 3"):
        regularizer.critic_loss(torch.zeros(5, 3), torch.arange(5).to(dtype))


# --- attributes -------------------------------------------------------------


@pytest.mark.parametrize("make", MAKERS)
def test_a_continuous_attribute_is_a_vector_or_a_column(make):
    results = []
    for view in (lambda x: x, lambda x: x[:, None]):
        torch.manual_seed(0)
        regularizer = make(PI, 1)
        optimizer = optimizer_of(regularizer)
        for seed in range(2):
            _, pi, alpha, posterior = codes(seed=seed)
            penalty = train_on(regularizer, optimizer, pi, view(alpha[:, 0]), posterior)
        results.append(tensors(penalty))
        assert regularizer.critic_loss(pi, view(alpha[:, 0])).isfinite()
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_a_whole_number_as_attribute_has_to_be_a_float():
    with pytest.raises(ValueError, match=r"got torch.int64.*classes=.*pass alpha.float\(\)"):
        call(mireg.RobustMIConstraint(PI, 1), alpha=torch.arange(16))


# --- settings ---------------------------------------------------------------


def test_numpy_integers_are_numbers():
    constraint = mireg.RobustMIConstraint(
        np.int64(PI), classes=np.int32(CLASSES), rows=np.int64(32), epsilon=np.float32(0.125)
    )
    plain = mireg.RobustMIConstraint(PI, classes=CLASSES, rows=32)
    plain.load_state_dict(constraint.state_dict())
    assert call(constraint, alpha=LABELS).loss.equal(call(plain, alpha=LABELS).loss)
    shape = tuple(np.array([3, 2, 2]))
    mireg.ClassifierMI(shape, list(shape), negatives=pairs.ShiftedNegatives(np.int64(2)))
    assert mireg.VariationalBound(samples=np.int64(3)).samples == 3
    mireg.LearnableGaussian(np.int64(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mireg.ClassifierMI(PI, ALPHA, epsilon=-0.1), "epsilon.*0 or above, got -0.1"),
        (lambda: mireg.ClassifierMI(PI, ALPHA, epsilon=math.inf), "epsilon.*got inf"),
        (lambda: mireg.RobustMIConstraint(PI, ALPHA, epsilon=math.nan), "epsilon.*got nan"),
        (lambda: mireg.ClassifierMI(PI), "either alpha_features"),
        (lambda: mireg.ClassifierMI(PI, ALPHA, classes=3), "either alpha_features"),
        (lambda: mireg.ClassifierMI(PI, ALPHA, rows=-1), "rows.*at least 0, got -1"),
        (lambda: mireg.ClassifierMI(PI, ALPHA, rows=1.5), "rows.*at least 0, got 1.5"),
        (lambda: mireg.RobustMIConstraint(PI, ALPHA, rows=-1), "rows.*at least 0, got -1"),
        (lambda: mireg.RobustMIConstraint(PI, ALPHA, rows=math.nan), "rows.*got nan"),
        (lambda: mireg.VariationalBound(samples=0), "at least 1, got 0"),
        (lambda: mireg.VariationalBound(gamma=math.nan), "0 or above, got nan"),
        (lambda: -1 * mireg.VariationalBound(), "0 or above, got -1"),
        (lambda: math.nan * mireg.VariationalBound(), "0 or above, got nan"),
        (lambda: mireg.ClassifierMI(math.nan, ALPHA), "features must be.*got nan"),
        (lambda: mireg.ClassifierMI(PI, classes=1), "at least 2 classes, got 1"),
        (lambda: mireg.RobustMIConstraint(PI, classes=math.nan), "classes must be an integer.*nan"),
    ],
)
def test_impossible_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_penalty_is_not_a_loss():
    penalty = mireg.ClassifierMI(PI, ALPHA)(torch.randn(8, PI), torch.randn(8, ALPHA))
    with pytest.raises(TypeError, match="penalty.loss and penalty.critic_loss"):
        torch.zeros(()) + penalty


@pytest.mark.parametrize("epsilon", [None, "0.05", True])
def test_a_target_that_is_not_a_number_is_named(epsilon):
    with pytest.raises(TypeError, match=f"epsilon.*must be a number, got {epsilon!r}"):
        mireg.RobustMIConstraint(PI, ALPHA, epsilon=epsilon)


def test_one_network_cannot_be_its_own_shadow():
    critic = torch.nn.Bilinear(PI, ALPHA, 1)
    with pytest.raises(ValueError, match="returns the same network twice"):
        mireg.RobustMIConstraint(PI, ALPHA, critic=lambda: critic)


@pytest.mark.parametrize("make", MAKERS)
def test_a_network_where_a_maker_of_networks_is_wanted_is_named(make):
    with pytest.raises(TypeError, match="critic must be a function.*got Bilinear"):
        make(PI, ALPHA, critic=torch.nn.Bilinear(PI, ALPHA, 1))


@pytest.mark.parametrize("make", MAKERS)
def test_a_critic_that_is_no_module_is_named(make):
    with pytest.raises(TypeError, match="a critic must be a module.*got function"):
        make(PI, ALPHA, critic=lambda: lambda pi, alpha: pi)


def test_a_prior_of_another_shape_or_kind_is_named():
    prior = Independent(Normal(torch.zeros(3), 1.0), 1)
    with pytest.raises(ValueError, match=r"event shape \(5,\) of pi, got \(3,\)"):
        call(mireg.VariationalBound(prior))
    with pytest.raises(ValueError, match=r"shape \(N, \*\(3,\)\) of its prior"):
        call(mireg.VariationalBound(mireg.LearnableGaussian(3)))
    with pytest.raises(TypeError, match="prior must be 'standard_normal'.*got 'cauchy'"):
        mireg.VariationalBound("cauchy")


def test_regularizers_add_to_regularizers_only():
    with pytest.raises(TypeError, match="unsupported operand"):
        mireg.VariationalBound() + 1
    with pytest.raises(TypeError, match="unsupported operand"):
        mireg.VariationalBound() * None


def test_both_classes_have_the_same_defaults():
    classifier, robust = mireg.ClassifierMI(PI, ALPHA), mireg.RobustMIConstraint(PI, ALPHA)
    assert classifier.epsilon == robust.epsilon
    for name in ("negatives", "memory"):
        assert repr(getattr(classifier.critics, name)) == repr(getattr(robust.critics, name))
    assert repr(classifier.critics.critics[0]) == repr(robust.critics.critics[0])
    assert repr(classifier.critics.estimators[0]) == repr(robust.critics.estimators[0])
    assert repr(classifier.multiplier) == repr(robust.multiplier)
    assert controllers_of(classifier, weights.LogMultiplier)


@pytest.mark.parametrize("cast", ["codes", "constraint"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", REGULARIZERS)
def test_codes_of_any_type_fit_a_constraint_of_any_type(name, dtype, cast):
    if cast == "constraint" and dtype.itemsize == 2:
        pytest.skip("critics in half precision are for autocast")
    regularizer = REGULARIZERS[name]()
    if cast == "constraint":
        regularizer = regularizer.to(dtype)
    given = torch.float32 if cast == "constraint" else dtype
    for of_pi, of_alpha in ((given, given), (torch.float32, given), (given, torch.float64)):
        _, pi, alpha, posterior = codes()
        one, other = pi.to(of_pi), alpha.to(of_alpha)
        penalty = regularizer(one, other, posterior)
        (penalty.loss + penalty.critic_loss).backward()
        regularizer.update(penalty)
        assert regularizer.critic_loss(one, other).isfinite()
        assert all(value.isfinite() for value in penalty.metrics.values())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"estimator": "dv"}, "estimator must be an object of Estimator.*got 'dv'"),
        ({"estimator": mireg.estimators.NWJ}, "got the class NWJ"),
        ({"estimator": lambda logits: logits.joint.mean()}, "estimator must be an object"),
        ({"negatives": "all"}, "negatives must be an object of Negatives.*got 'all'"),
        ({"negatives": 4}, r"as mireg.pairs.ShiftedNegatives\(4\) is, got 4"),
        ({"gamma": "robust"}, "gamma must be an object of Module.*got 'robust'"),
        ({"multiplier": 0.5}, "multiplier must be an object of Module.*got 0.5"),
        ({"ranks": True}, "ranks must be an object of Ranks.*got True"),
        ({"critic": "mlp"}, "critic must be a function that makes a network.*got 'mlp'"),
    ],
)
def test_a_part_that_is_no_object_is_named(parts, message):
    with pytest.raises(TypeError, match=message):
        mireg.RobustMIConstraint(PI, ALPHA, **parts)


def foreign_penalties():
    """Gives penalties that no other kind of regularizer may take, and things that are none."""
    _, pi, alpha, posterior = codes()
    made = {name: make()(pi, alpha, posterior) for name, make in REGULARIZERS.items()}
    made["labels"] = mireg.ClassifierMI(PI, classes=CLASSES)(pi, torch.arange(16) % CLASSES)
    others = {"nothing": None, "a loss": made["robust"].loss, "metrics": made["robust"].metrics}
    return {**made, **others}


@pytest.mark.parametrize("name", REGULARIZERS)
def test_a_foreign_penalty_is_refused_in_words(name):
    regularizer = REGULARIZERS[name]()
    # Those of one kind see the same: their penalties fit each other.
    alike = {"robust", "robust, few negatives, NWJ"} if name.startswith("robust") else {name}
    for other, penalty in foreign_penalties().items():
        if other in alike:
            continue
        with pytest.raises(ValueError, match="takes the penalty that it returned for this step"):
            regularizer.update(penalty)


@pytest.mark.parametrize("moved", ["alpha", "groups", "constraint"])
def test_another_device_is_named_with_the_fix(moved):
    constraint = mireg.RobustMIConstraint(PI, ALPHA)
    _, pi, alpha, posterior = codes()
    groups = torch.arange(16)
    if moved == "constraint":
        constraint, message = constraint.to("meta"), "device of the critics, meta, got cpu"
    else:
        message = f"pi and {moved} must be on the same device, got cpu and meta: pass {moved}.to"
    alpha = alpha.to("meta") if moved == "alpha" else alpha
    groups = groups.to("meta") if moved == "groups" else groups
    with pytest.raises(ValueError, match=message):
        constraint(pi, alpha, posterior, groups=groups)
