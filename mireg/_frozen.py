"""Calls a module with its parameters as constants."""

__all__ = ["call_frozen"]

from typing import Any, cast

import torch
from torch import nn
from torch.func import functional_call


def call_frozen(module: nn.Module, *arguments: Any) -> Any:
    """Returns `module(*arguments)` without gradients for its parameters or changes to its buffers.

    Arguments:
        module: The module.
        arguments: The arguments of the module. They receive gradients.

    Example:
        >>> layer, x = torch.nn.Linear(2, 3), torch.ones(1, 2, requires_grad=True)
        >>> call_frozen(layer, x).sum().backward()
        >>> layer.weight.grad is None, x.grad is None
        (True, False)
    """
    if torch.compiler.is_compiling():
        # The compiler cannot trace how a replica is created.
        constants = {name: p.detach() for name, p in module.named_parameters()}
        constants |= {name: b.clone() for name, b in module.named_buffers()}
        return functional_call(module, constants, arguments)
    return _replica(module, {})(*arguments)


def _replica(module: nn.Module, made: dict[int, nn.Module]) -> nn.Module:
    """Returns a copy of the module tree with detached views of parameters and copies of buffers.

    `torch.utils.checkpoint` runs a module again in the backward pass. By then, `functional_call`
    has restored the trainable parameters; a replica still holds its constants.
    """
    # A compiled module calls its original, and so would a copy.
    module = cast(nn.Module, getattr(module, "_orig_mod", module))
    if id(module) in made:
        return made[id(module)]
    # `copy.copy` fails for parametrized modules, which cannot be pickled.
    twin = type(module).__new__(type(module))
    made[id(module)] = twin
    state = twin.__dict__
    state.update(module.__dict__)
    state.pop("_compiled_call_impl", None)
    state["_parameters"] = {
        name: None if p is None else nn.Parameter(p.detach(), requires_grad=False)
        for name, p in module._parameters.items()
    }
    state["_buffers"] = {
        name: None if b is None else b.detach().clone() for name, b in module._buffers.items()
    }
    state["_modules"] = {
        name: None if child is None else _replica(child, made)
        for name, child in module._modules.items()
    }
    return twin
