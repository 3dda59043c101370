"""BatchNorm's running statistics where a step has several batches, in one process or in many."""

from __future__ import annotations

import torch
from torch import nn


class Statistics:
    """BatchNorm's running statistics over the batches of one step: each begins from the same, and the mean stays.

    One after the other they would depend on the order, and several processes would not equal one.
    """

    def __init__(self, network: nn.Module) -> None:
        self.buffers = [buffer for buffer in network.buffers() if buffer.dtype.is_floating_point]
        self.before = [buffer.clone() for buffer in self.buffers]
        self.sums = [torch.zeros_like(buffer) for buffer in self.buffers]
        named = network.named_buffers()
        self.counters = [(buffer, buffer.clone()) for name, buffer in named if name.endswith("num_batches_tracked")]

    @torch.no_grad()
    def begin(self) -> None:
        """Before a batch: as before the step."""
        for buffer, before in zip(self.buffers, self.before, strict=True):
            buffer.copy_(before)

    @torch.no_grad()
    def end(self) -> None:
        """After a batch: what it made of them counts in the mean."""
        for buffer, total in zip(self.buffers, self.sums, strict=True):
            total.add_(buffer)

    @torch.no_grad()
    def settle(self, batches: int) -> None:
        """After the step: the mean over its batches, whose sums the processes have added up."""
        for buffer, total in zip(self.buffers, self.sums, strict=True):
            buffer.copy_(total / batches)
        for counter, before in self.counters:
            counter.copy_(before + batches)
