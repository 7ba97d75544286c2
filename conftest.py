"""What every doctest and test may use."""

from collections.abc import Iterator

import pytest
import torch

import mireg

# Tests run side by side, a process a core.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded(doctest_namespace: dict[str, object]) -> Iterator[None]:
    """Seeds torch, and gives doctests the two names that every example needs."""
    doctest_namespace["torch"] = torch
    doctest_namespace["mireg"] = mireg
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
