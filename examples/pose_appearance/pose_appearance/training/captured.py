"""A step of a GPU as one graph: hundreds of small kernels are launched at once."""

__all__ = ["CapturedStep"]

from collections.abc import Callable

import torch
from torch import Tensor

from ..data.pairs import Batch

WARM_UPS = 5


class CapturedStep:
    """Creates a step that runs as usual at first, and then as one captured graph.

    Arguments:
        step: Makes a step on a batch, and returns its metrics. It must not wait for the device, and
            does the same each time.
    """

    def __init__(self, step: Callable[[Batch], dict[str, Tensor]]) -> None:
        self.step = step
        self.made = 0
        self.stream = torch.cuda.Stream()
        self.graph: torch.cuda.CUDAGraph | None = None
        self.batch: Batch
        self.metrics: dict[str, Tensor] = {}

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Makes a step. The metrics hold until the next one."""
        self.made += 1
        if self.made <= WARM_UPS:
            return self._usual(batch)
        if self.graph is None:
            self.batch = Batch(*(x.clone() for x in batch))
            torch.cuda.synchronize()
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.stream):
                self.metrics = self.step(self.batch)
        for held, new in zip(self.batch, batch, strict=True):
            held.copy_(new)
        self.graph.replay()
        return self.metrics

    def _usual(self, batch: Batch) -> dict[str, Tensor]:
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            metrics = self.step(batch)
        current.wait_stream(self.stream)
        return metrics
