"""A network as the engine takes it, and what runs its windows. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from medimg.inference.arrays import Array
from medimg.inference.memory import Footprint

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Network:
    """A network with its weights.

    build: makes it, float32 on the CPU, in eval mode; not called where a compiled copy is in the cache. digest: of what
    decides its answer (definition and weights), the name of that copy; None where it changes (in training).
    Its output may be a tensor, or lists and dictionaries of them: they are taken in their order.
    """

    build: Callable[[], torch.nn.Module]
    digest: str | None = None
    name: str = "the network"


class Runner(Protocol):
    """Runs windows."""

    def footprint(self, shape: Sequence[int]) -> Footprint:
        """Memory of one pass over a batch of `shape` (B, C, i, j, k)."""

    def prepare(self, shape: Sequence[int]) -> None:
        """Be ready for batches of `shape` (B, C, i, j, k)."""

    def __call__(self, windows: NDArray[np.float32]) -> tuple[Array, ...]:
        """float32 (B, C, i, j, k) to the network's outputs, float32 (B, C', i', j', k') each."""
