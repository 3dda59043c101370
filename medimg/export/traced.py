"""What every format starts from: the network as a function of one window, and how far an answer may be off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from medimg.errors import PipelineError
from medimg.inference.footprint import Flattened

TOLERANCE = 1e-4
"""Largest difference to torch's float32 answer, as a share of the largest of its values: other kernels add up in
another order, which costs a few units in the last of seven places for each layer."""

Answer = Sequence[NDArray[np.float32]]


@dataclass(frozen=True)
class Exported:
    """The network to export. window: (I, J, K) of its input; the batch is 1."""

    network: Flattened
    channels: int
    window: tuple[int, int, int]

    @property
    def example(self) -> torch.Tensor:
        """Noise as an input, (1, C, I, J, K) float32, always the same."""
        return torch.randn(1, self.channels, *self.window, generator=torch.Generator().manual_seed(0))

    def answer(self) -> Answer:
        """What torch says of the example."""
        with torch.inference_mode():
            return [part.float().numpy() for part in self.network(self.example)]

    def largest_difference(self, name: str, run: Callable[[NDArray[np.float32]], Answer]) -> float:
        """How far `run` of the example is from torch, as a share of the largest value.

        Raises PipelineError beyond TOLERANCE: what was exported is then another network.
        """
        expected, found = self.answer(), run(self.example.numpy())
        if len(expected) != len(found) or any(a.shape != b.shape for a, b in zip(expected, found, strict=True)):
            raise PipelineError(f"the {name} export gives maps of other shapes than torch; it is not kept")
        off = max(
            float(np.abs(a - b).max()) / max(float(np.abs(a).max()), 1e-12)
            for a, b in zip(expected, found, strict=True)
        )
        if not off <= TOLERANCE:
            raise PipelineError(
                f"the {name} export differs from torch by {off:.1e} of the largest value; it is not kept"
            )
        return off
