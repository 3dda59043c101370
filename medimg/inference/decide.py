"""What becomes of finished logits: labels at once, never a float copy of the whole image where it can be helped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from medimg.errors import PipelineError
from medimg.inference.arrays import Array, argmax, to_numpy
from medimg.inference.plan import Triple, whole
from medimg.inference.stitch import OutputGrid

NEVER_SEEN = -100.0
"""The logit of a voxel that no window has seen: its probability is 0 in single precision."""


class Collector(Protocol):
    """Takes pieces of a network's outputs until there are no more."""

    def take(self, output: int, logits: Array, start: Triple) -> None:
        """Finished logits (C, i, j, k) of output number `output`, from `start` of its grid on."""

    def result(self) -> Any:
        """What was decided."""


class Decision(Protocol):
    """How logits become an answer."""

    @property
    def mirrors(self) -> bool:
        """Whether the mirrored answer to a mirrored image means the same."""

    def bytes_a_voxel(self, channels: int) -> int:
        """Memory of the answer, given the channels of an output."""

    def open(self, grids: Sequence[OutputGrid]) -> Collector:
        """Begin, knowing the network's outputs. Raises PipelineError when they do not fit."""


@dataclass(frozen=True)
class Argmax:
    """The channel with the highest logit, the lowest number among equals: uint8 (I, J, K), uint16 above 256."""

    mirrors: ClassVar[bool] = True

    def bytes_a_voxel(self, channels: int) -> int:
        """One, or two above 256 labels."""
        return 1 if channels <= 256 else 2

    def open(self, grids: Sequence[OutputGrid]) -> Collector:
        """One output with at least two channels."""
        (grid,) = _one(grids, at_least=2)
        return _Filled(np.zeros(grid.shape, np.uint8 if grid.channels <= 256 else np.uint16), argmax)


@dataclass(frozen=True)
class Paint:
    """Masks painted over one another: uint8 (I, J, K).

    layers: (channel, value, threshold) in the order of painting; the mask is where sigmoid(logit) > threshold, or >=
    it where `inclusive` (monai.transforms.AsDiscrete).
    """

    layers: tuple[tuple[int, int, float], ...]
    inclusive: bool = False
    mirrors: ClassVar[bool] = True

    def bytes_a_voxel(self, _channels: int) -> int:
        """One."""
        return 1

    def open(self, grids: Sequence[OutputGrid]) -> Collector:
        """One output with every channel that is painted."""
        (grid,) = _one(grids, at_least=1 + max(channel for channel, _, _ in self.layers))
        return _Filled(np.zeros(grid.shape, np.uint8), self._painted)

    def _painted(self, logits: Array) -> NDArray[np.uint8]:
        labels = np.zeros(tuple(logits.shape[1:]), np.uint8)
        for channel, value, threshold in self.layers:
            # sigmoid(x) > p exactly where x > log(p / (1 - p)): no float copy of the probabilities
            limit = math.log(threshold / (1 - threshold))
            mask = logits[channel] >= limit if self.inclusive else logits[channel] > limit
            labels[to_numpy(mask)] = value
        return labels


@dataclass(frozen=True)
class Keep:
    """All logits: float32 (C, I, J, K), NEVER_SEEN where no window was run. For few channels."""

    mirrors: ClassVar[bool] = True

    def bytes_a_voxel(self, channels: int) -> int:
        """Four a channel."""
        return 4 * channels

    def open(self, grids: Sequence[OutputGrid]) -> Collector:
        """One output."""
        (grid,) = _one(grids, at_least=1)
        return _Filled(np.full((grid.channels, *grid.shape), NEVER_SEEN, np.float32), to_numpy)


class _Filled:
    """An array whose last three axes are the output's grid, filled piece by piece."""

    def __init__(self, array: NDArray[Any], decide: Callable[[Array], NDArray[Any]]) -> None:
        self._array = array
        self._decide = decide

    def take(self, output: int, logits: Array, start: Triple) -> None:
        del output
        shape, size = self._array.shape[-3:], tuple(logits.shape[1:])
        target = [slice(max(a, 0), min(a + n, end)) for a, n, end in zip(start, size, shape, strict=True)]
        if all(span.start < span.stop for span in target):
            source = [slice(span.start - a, span.stop - a) for span, a in zip(target, start, strict=True)]
            self._array[whole(target)] = self._decide(logits[whole(source)])

    def result(self) -> NDArray[Any]:
        return self._array


def _one(grids: Sequence[OutputGrid], at_least: int) -> Sequence[OutputGrid]:
    if len(grids) != 1 or grids[0].channels < at_least:
        given = ", ".join(str(grid.channels) for grid in grids)
        raise PipelineError(
            f"the network gives {len(grids)} outputs of {given} channels; one of at least {at_least} is needed"
        )
    return grids
