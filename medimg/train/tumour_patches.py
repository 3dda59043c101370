"""Training patches of glioma cases: where they are taken, how they are turned, what a scanner might do to them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medimg.train.tumour_data import TumourCase

MAX_TURN_DEG = 25.0
SCALE_RANGE = (0.85, 1.2)
"""Of the patch's extent: heads of other sizes and scanners of other pixel sizes."""

Generator = np.random.Generator


def patch(case: TumourCase, size: int, tumour_share: float, rng: Generator) -> tuple[Tensor, Tensor]:
    """Image float32 (4, S, S, S) and labels uint8 (S, S, S), turned, scaled and mirrored at random."""
    on_tumour = len(case.tumour) > 0 and rng.random() < tumour_share
    pool = case.tumour if on_tumour else case.brain
    centre = pool[rng.integers(len(pool))] + rng.uniform(-size / 6, size / 6, 3)
    if rng.random() < 0.6:
        image, labels = _turned(case, size, centre, rng)
    else:
        image, labels = _straight(case, size, centre)
    axes = [axis for axis in range(3) if rng.random() < 0.5]
    return image.flip([axis + 1 for axis in axes]), labels.flip(axes)


def _straight(case: TumourCase, size: int, centre: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """The cube of edge `size` voxels around `centre`, zeros where it leaves the case."""
    start = np.rint(centre).astype(int) - size // 2
    image = torch.zeros((case.image.shape[0], size, size, size))
    labels = torch.zeros((size, size, size), dtype=torch.uint8)
    low = np.maximum(start, 0)
    high = np.minimum(start + size, case.labels.shape)
    if (high <= low).any():
        return image, labels
    source = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    target = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
    for channel in range(len(image)):
        image[channel][target] = case.image[channel][source].float()
    labels[target] = case.labels[source]
    return image, labels


def _turned(case: TumourCase, size: int, centre: NDArray[np.float64], rng: Generator) -> tuple[Tensor, Tensor]:
    """Resampled through a rotation and an anisotropic scale about `centre`."""
    linear = _rotation(rng) @ np.diag(rng.uniform(*SCALE_RANGE, 3))
    # only the box the turned patch can reach is interpolated from
    reach = int(np.ceil(size / 2 * np.abs(linear).sum(axis=1).max())) + 1
    image, labels = _straight(case, 2 * reach, centre)
    theta = torch.zeros(1, 3, 4)
    # grid_sample counts axes from the last, in units of half the box
    theta[0, :, :3] = torch.from_numpy(linear[::-1, ::-1].copy()).float() * (size / (2 * reach))
    grid = functional.affine_grid(theta, [1, 1, size, size, size], align_corners=False)
    turned = functional.grid_sample(image[None], grid, align_corners=False)[0]
    moved = functional.grid_sample(labels[None, None].float(), grid, mode="nearest", align_corners=False)[0, 0]
    # interpolation must not smear intensity into the background, which stays exactly 0
    inside = functional.grid_sample((image != 0).any(0).float()[None, None], grid, mode="nearest", align_corners=False)
    return turned * inside[0], moved.to(torch.uint8)


def _rotation(rng: Generator) -> NDArray[np.float64]:
    a, b, c = np.deg2rad(rng.uniform(-MAX_TURN_DEG, MAX_TURN_DEG, 3))
    about_i = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_j = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_k = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_i @ about_j @ about_k)


def scanner(image: Tensor, rng: Generator) -> Tensor:
    """What differs between scanners and hospitals: (4, S, S, S) changed in intensity, background kept at 0."""
    inside = (image != 0).any(0, keepdim=True)
    changed = torch.stack([_channel(channel, rng) for channel in image])
    if rng.random() < 0.15:
        changed = _blurred(changed, rng)
    if rng.random() < 0.15:
        changed = _thick_slices(changed, rng)
    if rng.random() < 0.25:
        changed[_dropped(rng)] = 0
    return changed * inside


def _channel(channel: Tensor, rng: Generator) -> Tensor:
    """Contrast, brightness, gamma, bias field, noise and coarse grey levels of one contrast."""
    result = channel * float(rng.uniform(0.8, 1.25)) + float(rng.normal(0, 0.15))
    if rng.random() < 0.3:
        # normalised intensities lie within -4..4: gamma on their place in that range
        result = ((result + 4).clamp_min(0) / 8) ** float(np.exp(rng.normal(0, 0.2))) * 8 - 4
        result = result - result[channel != 0].mean() if bool((channel != 0).any()) else result
    if rng.random() < 0.4:
        result = result * torch.exp(_smooth_field(channel.shape, rng) * float(rng.uniform(0.05, 0.25)))
    if rng.random() < 0.5:
        noise = rng.standard_normal(channel.shape, dtype=np.float32) * float(rng.uniform(0.02, 0.15))
        result = result + torch.from_numpy(noise)
    if rng.random() < 0.3:
        step = float(rng.uniform(0.05, 0.15))
        result = torch.round(result / step) * step
    return result


def _smooth_field(shape: torch.Size, rng: Generator) -> Tensor:
    coarse = torch.from_numpy(rng.standard_normal((1, 1, 4, 4, 4), dtype=np.float32))
    return functional.interpolate(coarse, size=tuple(shape), mode="trilinear", align_corners=True)[0, 0]


def _blurred(image: Tensor, rng: Generator) -> Tensor:
    mixed = functional.avg_pool3d(image[None], 3, stride=1, padding=1)[0]
    share = float(rng.uniform(0.3, 1.0))
    return image * (1 - share) + mixed * share


def _thick_slices(image: Tensor, rng: Generator) -> Tensor:
    """As if one axis had been scanned in slices of 2-4 mm and interpolated."""
    axis = int(rng.integers(3))
    scale = [1.0, 1.0, 1.0]
    scale[axis] = 1 / float(rng.uniform(2.0, 4.0))
    size = [round(length * factor) for length, factor in zip(image.shape[1:], scale, strict=True)]
    thin = functional.interpolate(image[None], size=size, mode="area")
    return functional.interpolate(thin, size=tuple(image.shape[1:]), mode="trilinear", align_corners=False)[0]


def _dropped(rng: Generator) -> list[int]:
    """Channels to leave out: of (t1c, t1n, t2w, t2f), those least missed first."""
    choices = [[1], [2], [1, 2], [0], [3]]
    weights = [0.3, 0.3, 0.2, 0.1, 0.1]
    return choices[int(rng.choice(len(choices), p=weights))]
