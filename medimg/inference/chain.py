"""A bundle's transforms on volumes in memory: MONAI's own, but for two.

Spacingd, which SimpleITK does ten times faster, and NormalizeIntensityd, whose indices of what is not zero take twelve
times the image's memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, NormalizeIntensityd, Spacingd, apply_transform
from numpy.typing import NDArray

from medimg import geometry
from medimg.inference.intensity import standardize

LINEAR = frozenset({"bilinear", "GridSampleMode.BILINEAR"})
PADDINGS = {"border": "edge", "zeros": "constant"}
"""torch.nn.functional.grid_sample's modes that numpy's pad has too."""


def preprocessed(chain: Compose, data: dict[str, Any]) -> dict[str, Any]:
    """What `chain` makes of {key: MetaTensor (C, I, J, K)}; the result can be inverted as if the chain had made it."""
    made: Any = data
    for transform in chain.transforms:
        # not for subclasses: they do something else
        if type(transform) is Spacingd and _is_plain(transform, made):
            made = _spaced(transform, made)
        elif type(transform) is NormalizeIntensityd and _is_z_score(transform, made):
            made = _standardized(transform, made)
        else:
            made = apply_transform(transform, made)
    return cast("dict[str, Any]", made)


def resampled(
    array: NDArray[np.float32], to_source: geometry.Affine, shape: Sequence[int], padding: str
) -> NDArray[np.float32]:
    """array (C, I, J, K) at the voxels of a grid of `shape`, trilinear: (C, I', J', K') float32.

    to_source: (4, 4), voxel of the new grid -> voxel of the old. padding: "border" repeats the outermost voxels without
    end, "zeros" has zeros there.
    """
    import SimpleITK as sitk

    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1).T
    reached = geometry.to_world(to_source, corners)
    # SimpleITK gives up half a voxel outside; what lies beyond is put there first
    before = np.maximum(0, np.ceil(-reached.min(axis=0))).astype(int) + 1
    after = np.maximum(0, np.ceil(reached.max(axis=0) - array.shape[1:])).astype(int) + 2
    mode: Any = PADDINGS[padding]
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(to_source[:3, :3].ravel().tolist())
    transform.SetTranslation((to_source[:3, 3] + before).tolist())
    grid = [int(n) for n in shape], transform, sitk.sitkLinear, [0.0] * 3, [1.0] * 3, np.eye(3).ravel().tolist()
    made = np.empty((len(array), *shape), np.float32)
    for channel, values in enumerate(array):
        around = np.pad(values, list(zip(before, after, strict=True)), mode=mode)
        image = sitk.GetImageFromArray(np.ascontiguousarray(around.transpose(2, 1, 0)))
        # a copy, not a view: the image goes at the end of the line
        made[channel] = sitk.GetArrayFromImage(sitk.Resample(image, *grid)).transpose(2, 1, 0)
    return made


def plain_z_score(transform: NormalizeIntensityd) -> bool:
    """Whether a NormalizeIntensityd asks for what `standardize` gives, of float32 values."""
    normalizer = transform.normalizer
    none = normalizer.subtrahend is None and normalizer.divisor is None
    return none and np.dtype(normalizer.dtype) == np.float32


def _is_z_score(transform: NormalizeIntensityd, data: dict[str, Any]) -> bool:
    images = [data.get(str(key)) for key in transform.keys]
    return (
        plain_z_score(transform)
        and all(isinstance(image, MetaTensor) and image.device.type == "cpu" and image.ndim == 4 for image in images)
        and all(image.dtype == torch.float32 for image in images if image is not None)
    )


def _standardized(transform: NormalizeIntensityd, data: dict[str, Any]) -> dict[str, Any]:
    for name in transform.keys:
        image = data[str(name)]
        values = image.as_tensor().contiguous()
        for part in values if transform.normalizer.channel_wise else [values]:
            standardize(part.numpy(), transform.normalizer.nonzero)
        data = {**data, str(name): _like(image, values, image.affine, image.applied_operations)}
    return data


def _like(image: MetaTensor, values: torch.Tensor, affine: torch.Tensor, done: list[Any]) -> MetaTensor:
    """Other values with what MONAI remembers of `image`. done: the operations that can be inverted."""
    meta = {word: value for word, value in image.meta.items() if word != "affine"}
    made = MetaTensor(values, affine=affine, meta=meta)
    made.applied_operations = done
    return made


def _is_plain(transform: Spacingd, data: dict[str, Any]) -> bool:
    """Whether a Spacingd asks for what `resampled` gives."""
    images = [data.get(str(key)) for key in transform.keys]
    return (
        all(isinstance(image, MetaTensor) and image.device.type == "cpu" and image.ndim == 4 for image in images)
        and all(str(mode) in LINEAR for mode in transform.mode)
        and all(str(getattr(padding, "value", padding)) in PADDINGS for padding in transform.padding_mode)
        and not any(transform.align_corners)
    )


def _spaced(transform: Spacingd, data: dict[str, Any]) -> dict[str, Any]:
    # lazily, MONAI only says where the new grid lies
    copied: Any = dict(data)
    told: Any = transform(copied, lazy=True)
    for name, padding in zip(transform.keys, transform.padding_mode, strict=True):
        key = str(name)
        image, plan = data[key], told[key]
        source, target = (np.asarray(affine, dtype=np.float64) for affine in (image.affine, plan.peek_pending_affine()))
        shape = tuple(int(n) for n in plan.peek_pending_shape())
        values = image.as_tensor()
        if shape != tuple(image.shape[1:]) or not np.allclose(source, target, atol=1e-6):
            mode = str(getattr(padding, "value", padding))
            values = torch.from_numpy(resampled(values.float().numpy(), np.linalg.inv(source) @ target, shape, mode))
        done = [*image.applied_operations, *plan.pending_operations]
        told[key] = _like(image, values, torch.from_numpy(target), done)
    return cast("dict[str, Any]", told)
