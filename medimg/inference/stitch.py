"""Overlapping windows become one answer, piece by piece: each is passed on when no later window touches it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from medimg.errors import PipelineError
from medimg.inference.arrays import Array, like
from medimg.inference.plan import Plan, Span, Triple, triple, whole


@dataclass(frozen=True)
class OutputGrid:
    """One output of a network over the whole image.

    channels: of it. image: voxels of the image; padded: the same with the far ends padded to multiples. shape, inner:
    the cells of the output that show each. stride: input voxels a cell, along each axis.
    """

    channels: int
    image: Triple
    padded: Triple
    shape: Triple
    inner: Triple
    stride: Triple


class Stitcher:
    """Adds up the windows of one output of a network in MONAI's way: sum of weight x logit over sum of weights."""

    def __init__(self, plan: Plan, first: Array, name: str) -> None:
        """first: the output's first window, (C, i, j, k)."""
        self._plan = plan
        self._channels = int(first.shape[0])
        self._stride = _stride(plan, first, name)
        weights = plan.windows.weights(plan.size)
        if weights is not None:
            # as MONAI brings them to the grid of a first output: the voxel at the middle of each cell
            i, j, k = self._stride
            weights = like(weights[i // 2 :: i, j // 2 :: j, k // 2 :: k].copy(), first)
        self._weights = weights
        self._sums: dict[Triple, Array] = {}
        self._weight_sums: dict[Triple, Array] = {}
        self._left: dict[Triple, int] = {}

    @property
    def grid(self) -> OutputGrid:
        """The output over the whole image."""
        plan = self._plan
        shape = [math.ceil(n / s) for n, s in zip(plan.shape, self._stride, strict=True)]
        sides = zip(plan.before, plan.inner, self._stride, strict=True)
        inner = [round((b + n) / s) - round(b / s) for b, n, s in sides]
        return OutputGrid(self._channels, plan.shape, plan.inner, triple(shape), triple(inner), self._stride)

    def add(self, index: int, output: Array) -> Iterator[tuple[Array, Triple]]:
        """Take window `index`, (C, i, j, k); give what is finished by it, and where that begins on the output's grid.

        Finished pieces can reach beyond the grid, into the padding. They are to be used before the next is asked for.
        """
        origin = self._plan.start(index)
        for cell in self._plan.cells_of(index):
            spans = [self._plan.cells[axis][which] for axis, which in enumerate(cell)]
            local = tuple(
                slice((a - o) // s, (b - o) // s) for (a, b), o, s in zip(spans, origin, self._stride, strict=True)
            )
            logits = self._accumulated(cell, output[whole(local)], local)
            if logits is not None:
                yield logits, self._place(spans)

    def _accumulated(self, cell: Triple, piece: Array, local: tuple[slice, ...]) -> Array | None:
        """The finished logits of a cell, None while other windows are still to come."""
        visits = int(self._plan.visits[cell])
        weight = 1.0 if self._weights is None else self._weights[local]
        if visits == 1:
            return piece if self._weights is None else piece * weight / weight
        left = self._left.pop(cell, visits) - 1
        if left == visits - 1:
            # a copy, so that the window it is part of can go
            self._sums[cell], self._weight_sums[cell] = piece * weight, weight * 1.0
        else:
            self._sums[cell] += piece * weight
            # not in place: the number of a constant window is no array
            self._weight_sums[cell] = self._weight_sums[cell] + weight
        if left:
            self._left[cell] = left
            return None
        logits = self._sums.pop(cell)
        logits /= self._weight_sums.pop(cell)
        return logits

    def _place(self, spans: list[Span]) -> Triple:
        sides = zip(spans, self._stride, self._plan.before, strict=True)
        return triple(first // s - round(b / s) for (first, _), s, b in sides)


def _stride(plan: Plan, first: Array, name: str) -> Triple:
    """Input voxels a cell of the output. Raises PipelineError where windows do not begin at cells of it."""
    sizes = tuple(int(n) for n in first.shape[1:])
    strides = [w // max(n, 1) for w, n in zip(plan.size, sizes, strict=True)]
    fits = all(n * s == w for n, s, w in zip(sizes, strides, plan.size, strict=True))
    ends = [(*starts, starts[-1] + size) for starts, size in zip(plan.starts, plan.size, strict=True)]
    if not fits or any(end % stride for along, stride in zip(ends, strides, strict=True) for end in along):
        raise PipelineError(
            f"{name}: windows of {'x'.join(map(str, plan.size))} voxels answered by {'x'.join(map(str, sizes))}: "
            "they cannot be stitched; choose a window and overlap that are multiples of the network's stride"
        )
    return triple(strides)
