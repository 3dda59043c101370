"""Where the windows lie: MONAI's sliding windows over an image, those left out that see nothing of a region."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.errors import PipelineError
from medimg.inference.options import Engine

Triple = tuple[int, int, int]
Span = tuple[int, int]

FITTED_MULTIPLE = 16
"""Fitted windows are multiples of this: the product of the strides of the networks medimg ships, or more."""

MIN_WEIGHT = 1e-3
"""The smallest weight of a voxel in a Gaussian window, as in monai.data.utils.compute_importance_map."""

NUMPY_PADDING = {"constant": "constant", "replicate": "edge", "reflect": "reflect", "circular": "wrap"}
"""torch.nn.functional.pad's modes in numpy's words."""


@dataclass(frozen=True)
class Windows:
    """How a network wants to be shown an image: the meanings of `monai.inferers.SlidingWindowInferer`.

    size: voxels along i, j, k, -1 for the image's own length. overlap: share of a window, along i, j, k. mode:
    "constant" or "gaussian" blending, the latter of width `sigma_scale` of the window. batch: windows a pass. An image
    smaller than the window is padded on both sides, `padding_mode` as in torch's pad, `cval` where that is "constant".
    multiple: the image is first padded at its far ends to multiples of this, and windows begin at multiples
    (`size_divisible` of a RetinaNet). fitted: windows are cut down to the image padded at its far ends to a multiple of
    FITTED_MULTIPLE instead; for networks whose answer does not depend on the window (no statistics over it).
    """

    size: Triple
    overlap: tuple[float, float, float] = (0.25, 0.25, 0.25)
    mode: str = "constant"
    sigma_scale: float = 0.125
    padding_mode: str = "constant"
    cval: float = 0.0
    batch: int = 1
    multiple: Triple = (1, 1, 1)
    fitted: bool = False

    @classmethod
    def of(cls, inferer: Any, *, fitted: bool = False) -> Windows:
        """Those of a SlidingWindowInferer. Raises PipelineError for a blending with another width along each axis."""
        overlap, size, sigma = (_thrice(value) for value in (inferer.overlap, inferer.roi_size, inferer.sigma_scale))
        if len(set(sigma)) > 1:
            raise PipelineError(f"windows blended with another width along each axis {sigma} are not supported")
        return cls(
            size=triple(size),
            overlap=(float(overlap[0]), float(overlap[1]), float(overlap[2])),
            mode=str(getattr(inferer.mode, "value", inferer.mode)),
            sigma_scale=float(sigma[0]),
            padding_mode=str(getattr(inferer.padding_mode, "value", inferer.padding_mode)),
            cval=float(inferer.cval),
            batch=int(inferer.sw_batch_size),
            fitted=fitted,
        )

    def as_asked(self, engine: Engine) -> Windows:
        """With the overlap of the command line, and fitted where it says --fast."""
        overlap = self.overlap if engine.overlap is None else (engine.overlap,) * 3
        return replace(self, overlap=overlap, fitted=self.fitted or engine.fast)

    def weights(self, size: Triple) -> NDArray[np.float32] | None:
        """How much each voxel of a window counts where windows overlap, (I, J, K); None where all count the same."""
        if self.mode == "constant":
            return None
        weights = np.ones((1, 1, 1), np.float32)
        for axis, length in enumerate(size):
            distance = np.arange(length, dtype=np.float64) - (length - 1) / 2
            bell = np.exp(distance**2 / (-2 * (self.sigma_scale * length) ** 2)).astype(np.float32)
            weights = weights * bell.reshape([-1 if a == axis else 1 for a in range(3)])
        return np.asarray(np.maximum(weights, np.float32(max(float(weights.min()), MIN_WEIGHT))))


@dataclass(frozen=True)
class Plan:
    """Windows of one image.

    shape: of the image. inner: with the far ends padded to multiples. padding: (before, after) along each axis, in all.
    size: of a window. starts: along each axis, on the padded image. chosen: (N, 3) which of the starts each window
    takes, in the order in which they are to be run.
    """

    windows: Windows
    shape: Triple
    inner: Triple
    padding: tuple[Span, Span, Span]
    size: Triple
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    chosen: NDArray[np.int64]

    @property
    def before(self) -> Triple:
        """Voxels of padding before the image, along each axis."""
        return triple(side[0] for side in self.padding)

    @cached_property
    def cells(self) -> tuple[list[Span], list[Span], list[Span]]:
        """Along each axis, the stretches between places where a window begins or ends: [start, stop) each."""
        a, b, c = (_stretches(starts, size) for starts, size in zip(self.starts, self.size, strict=True))
        return a, b, c

    @cached_property
    def covered(self) -> tuple[list[range], list[range], list[range]]:
        """Along each axis, for each start, the cells which a window there covers."""
        a, b, c = (
            [_inside(cells, start, start + size) for start in starts]
            for cells, starts, size in zip(self.cells, self.starts, self.size, strict=True)
        )
        return a, b, c

    def start(self, index: int) -> Triple:
        """First voxel of window `index` on the padded image."""
        return triple(self.starts[axis][which] for axis, which in enumerate(self.chosen[index]))

    def cells_of(self, index: int) -> Iterable[Triple]:
        """The cells which window `index` covers."""
        a, b, c = self.chosen[index]
        return itertools.product(self.covered[0][a], self.covered[1][b], self.covered[2][c])

    @cached_property
    def visits(self) -> NDArray[np.int64]:
        """How many windows cover each cell, those that are not run left out."""
        counts = np.zeros([len(cells) for cells in self.cells], np.int64)
        for a, b, c in self.chosen:
            counts[np.ix_(self.covered[0][a], self.covered[1][b], self.covered[2][c])] += 1
        return counts

    def waiting_voxels(self) -> int:
        """The most voxels that are ever held because a later window touches them too."""
        lengths = [np.array([stop - start for start, stop in cells]) for cells in self.cells]
        left = self.visits.copy()
        held = most = 0
        for a, b, c in self.chosen:
            box = np.ix_(self.covered[0][a], self.covered[1][b], self.covered[2][c])
            voxels = np.einsum("i,j,k->ijk", *(lengths[axis][index.ravel()] for axis, index in enumerate(box)))
            fresh = left[box] == self.visits[box]
            left[box] -= 1
            held += int(voxels[fresh & (left[box] > 0)].sum())
            most = max(most, held)
            held -= int(voxels[~fresh & (left[box] == 0)].sum())
        return most

    def ordered(self, axes: Sequence[int]) -> Plan:
        """The same windows, those with the same start along axes[0] after one another, and so on."""
        order = np.lexsort([self.chosen[:, axis] for axis in reversed(axes)])
        return replace(self, chosen=self.chosen[order])

    def padded(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The image (C, I, J, K) with its padding; itself where there is none."""
        if not any(map(any, self.padding)):
            return image
        values = {"constant_values": self.windows.cval} if self.windows.padding_mode == "constant" else {}
        mode: Any = NUMPY_PADDING[self.windows.padding_mode]
        return np.asarray(np.pad(image, ((0, 0), *self.padding), mode=mode, **values))


def plan_windows(shape: Sequence[int], windows: Windows, region: NDArray[np.bool_] | None = None) -> Plan:
    """The windows over an image of `shape`, in MONAI's order; those that hold no true voxel of `region` left out.

    region: (I, J, K) on the image's grid, None for all of it.
    """
    multiple = windows.multiple
    if windows.fitted:
        multiple = triple(math.lcm(FITTED_MULTIPLE, m) for m in multiple)
    inner = triple(math.ceil(n / m) * m for n, m in zip(shape, multiple, strict=True))
    wanted = [n if w <= 0 else w for w, n in zip(windows.size, inner, strict=True)]
    size = triple(min(w, n) if windows.fitted else w for w, n in zip(wanted, inner, strict=True))
    short = [max(w - n, 0) for w, n in zip(size, inner, strict=True)]
    padding = [(s // 2, s - s // 2 + i - n) for s, i, n in zip(short, inner, shape, strict=True)]
    starts = [
        _starts(n + s, w, o, m)
        for n, s, w, o, m in zip(inner, short, size, windows.overlap, windows.multiple, strict=True)
    ]
    chosen = np.array(list(itertools.product(*(range(len(along)) for along in starts))), np.int64)
    plan = Plan(
        windows,
        triple(shape),
        inner,
        (padding[0], padding[1], padding[2]),
        size,
        (starts[0], starts[1], starts[2]),
        chosen,
    )
    return plan if region is None else replace(plan, chosen=chosen[_touching(plan, region)])


def _thrice(value: Any) -> tuple[Any, Any, Any]:
    """One value an axis."""
    a, b, c = value if isinstance(value, Sequence) else (value,) * 3
    return a, b, c


def _starts(length: int, size: int, overlap: float, multiple: int) -> tuple[int, ...]:
    """Where windows begin along one axis: monai.inferers.utils._get_scan_interval and dense_patch_slices."""
    if size >= length:
        return (0,)
    step = max(1, int(size * (1 - overlap)))
    step = max(multiple, step // multiple * multiple)
    count = math.ceil((length - size) / step) + 1
    return tuple(min(index * step, length - size) for index in range(count))


def _touching(plan: Plan, region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which windows hold a true voxel of `region`."""
    held = []
    for index in range(len(plan.chosen)):
        low = [start - before for start, before in zip(plan.start(index), plan.before, strict=True)]
        spans = (slice(max(start, 0), max(start + size, 0)) for start, size in zip(low, plan.size, strict=True))
        held.append(bool(region[tuple(spans)].any()))
    return np.array(held, bool)


def _stretches(starts: Sequence[int], size: int) -> list[Span]:
    ends = sorted({*starts, *(start + size for start in starts)})
    return list(itertools.pairwise(ends))


def _inside(cells: Sequence[Span], start: int, stop: int) -> range:
    within = [index for index, cell in enumerate(cells) if start <= cell[0] and cell[1] <= stop]
    return range(within[0], within[-1] + 1)


def whole(spans: Sequence[slice]) -> tuple[Any, ...]:
    """The index of a part of the grid in every channel: (..., i, j, k)."""
    return (Ellipsis, *spans)


def triple(values: Iterable[Any]) -> Triple:
    """Three whole numbers."""
    i, j, k = (int(value) for value in values)
    return (i, j, k)
