"""Heads to take patches from: real cases, turned and bent, with their own tumour, an altered one or others added.

Resampling a whole head costs as much as a training step, so a head serves a number of steps before a new one takes
its place. Which heads there are is a function of the seed and the step alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from medimg.train import tumour_synthesis as synthesis
from medimg.train.labelled import LabelledCase, make_case
from medimg.train.tumour_synthesis import Scene

MAX_TURN_DEG = 25.0
SCALE_RANGE = (0.85, 1.15)
"""Of the head's extent: heads of other sizes and scanners of other pixel sizes."""

BEND_VOXELS = 4.0
"""Standard deviation of the elastic displacement at its knots, BEND_KNOTS along each axis."""

BEND_KNOTS = 6
STRONG_ENHANCEMENT = 5000
"""Voxels (mm3) of enhancing tumour that make a case one of the common kind; the others are drawn as often."""

Generator = np.random.Generator


class HeadPool:
    """`slots` heads, the oldest of which is replaced every `every` steps.

    synthetic: share of heads whose tumour is altered, of heads that get another patient's tumour, and of heads in
    which one is drawn; independent of each other.
    """

    def __init__(
        self, cases: Sequence[LabelledCase], seed: int, slots: int, every: int, synthetic: tuple[float, float, float]
    ) -> None:
        self.cases, self.seed, self.slots, self.every, self.synthetic = cases, seed, slots, every, synthetic
        strong = [int((case.labels == synthesis.ENHANCING).sum()) >= STRONG_ENHANCEMENT for case in cases]
        self.shares = balanced(strong)
        self._heads: dict[int, LabelledCase] = {}

    def at(self, step: int) -> list[LabelledCase]:
        """The heads there are at `step`, oldest first."""
        newest = step // self.every + self.slots
        wanted = range(newest - self.slots, newest)
        self._heads = {number: self._heads.get(number) or self._head(number) for number in wanted}
        return list(self._heads.values())

    def _head(self, number: int) -> LabelledCase:
        rng = np.random.default_rng([self.seed, 1, number])
        case = self.cases[int(rng.choice(len(self.cases), p=self.shares))]
        scene = Scene(case.image.float(), case.labels.clone())
        altered, moved, grown = (rng.random() < share for share in self.synthetic)
        if altered:
            synthesis.alter(scene, rng)
        if moved:
            donor = self.cases[int(rng.choice(len(self.cases), p=self.shares))]
            guest = Scene(donor.image.float(), donor.labels.clone())
            if rng.random() < 0.5:
                synthesis.alter(guest, rng)
            synthesis.move(scene, guest, rng)
        if grown:
            synthesis.grow(scene, rng)
        if rng.random() < 0.8:
            scene = turned(scene, rng)
        return make_case(case.name, scene.image, scene.labels.numpy())


def balanced(strong: Sequence[bool]) -> NDArray[np.float64]:
    """Shares (N,) that give both kinds of case half of the draws."""
    kinds = np.asarray(strong)
    shares = np.where(kinds, 1 / max(1, kinds.sum()), 1 / max(1, (~kinds).sum()))
    return np.asarray(shares / shares.sum())


def turned(scene: Scene, rng: Generator) -> Scene:
    """The head on a grid of the same shape through a rotation, an anisotropic scale and a smooth bend."""
    shape = tuple(scene.labels.shape)
    extent = np.array(shape, dtype=np.float64)
    linear = _rotation(rng) @ np.diag(rng.uniform(*SCALE_RANGE, 3))
    # grid_sample counts axes from the last, in units of half the extent
    unitless = np.diag(1 / extent) @ linear @ np.diag(extent)
    theta = torch.zeros(1, 3, 4)
    theta[0, :, :3] = torch.from_numpy(unitless[::-1, ::-1].copy()).float()
    grid = functional.affine_grid(theta, [1, 1, *shape], align_corners=False)
    bend = rng.standard_normal((1, 3, BEND_KNOTS, BEND_KNOTS, BEND_KNOTS), dtype=np.float32)
    bend *= (2 * BEND_VOXELS * rng.random() / extent[::-1]).astype(np.float32).reshape(1, 3, 1, 1, 1)
    field = functional.interpolate(torch.from_numpy(bend), size=shape, mode="trilinear", align_corners=True)
    grid += field.permute(0, 2, 3, 4, 1)
    # channels last: twice as fast
    image = scene.image[None].contiguous(memory_format=torch.channels_last_3d)
    image = functional.grid_sample(image, grid, align_corners=False)[0].contiguous()
    # labels and the brain mask in one pass; interpolation must not smear intensity into the background
    codes = (scene.labels + 4 * scene.inside)[None, None].float()
    codes = functional.grid_sample(codes, grid, mode="nearest", align_corners=False)[0, 0].to(torch.uint8)
    return Scene(image * (codes >= 4), codes % 4)


def _rotation(rng: Generator) -> NDArray[np.float64]:
    a, b, c = np.deg2rad(rng.uniform(-MAX_TURN_DEG, MAX_TURN_DEG, 3))
    about_i = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_j = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_k = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_i @ about_j @ about_k)
