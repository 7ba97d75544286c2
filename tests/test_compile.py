"""Compiled steps: one graph each, compiled once."""

import pytest
import torch
from problems import ALPHA, PI, REGULARIZERS

import mireg

STEPS = 20


@pytest.mark.parametrize("name", REGULARIZERS)
def test_a_step_compiles_once_without_a_graph_break(name):
    torch._dynamo.reset()
    regularizer = REGULARIZERS[name]()
    twin = REGULARIZERS[name]()
    twin.load_state_dict(regularizer.state_dict())

    def penalty_of(regularizer, mean, log_var, alpha):
        posterior = mireg.diagonal_gaussian(mean, log_var)
        return regularizer(posterior.rsample(), alpha, posterior)

    # The backend traces gradients too, and needs no C++ compiler.
    options = {"fullgraph": True, "backend": "aot_eager"}
    compiled = torch.compile(penalty_of, **options)
    update = torch.compile(type(regularizer).update, **options)
    critic_loss = torch.compile(type(regularizer).critic_loss, **options)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for seed in range(STEPS):
            torch.manual_seed(seed)
            mean, log_var = (torch.randn(8, PI).requires_grad_() for _ in range(2))
            alpha = torch.randn(8, ALPHA)
            torch.manual_seed(seed)
            if list(regularizer.critic_parameters()):
                twin.critic_loss(mean, alpha)
            expected = penalty_of(twin, mean, log_var, alpha)
            twin.update(expected)
            torch.manual_seed(seed)
            if list(regularizer.critic_parameters()):
                critic_loss(regularizer, mean, alpha).backward()
            got = compiled(regularizer, mean, log_var, alpha)
            got.loss.backward()
            update(regularizer, got)
            torch.testing.assert_close(got.loss, expected.loss)
    for key, value in twin.state_dict().items():
        torch.testing.assert_close(value, regularizer.state_dict()[key])
