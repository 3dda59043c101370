"""Glioma cases for training: four contrasts on the model grid, as the network will see them, and three regions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from medimg.bundle import Bundle
from medimg.datalist.layouts import ROLES
from medimg.datalist.read import DatalistCase
from medimg.errors import TrainingError
from medimg.evaluate.regions import BRATS_REGIONS, ENHANCING, parse_regions
from medimg.inference.prepare import network_input
from medimg.inference.resample import labels_on_grid
from medimg.train.cases import read_labels, read_scan

REGIONS = ("TC", "WT", "ET")
"""Output order: tumour core, whole tumour, enhancing tumour (BraTS)."""

BRATS_LABELS = parse_regions(BRATS_REGIONS)
"""Enhancing tumour is 3 in BraTS 2023+, 4 before; 1 is necrotic core, 2 oedema in both."""

NEEDS_CONTRAST_AGENT = ("TC", "ET")
"""Regions that only T1 with contrast agent shows; the whole tumour is seen without it."""


@dataclass(frozen=True)
class TumourCase:
    """image: float16 (4, I, J, K) after the bundle's preprocessing, 0 outside the brain; labels: uint8 (I, J, K).

    labels: 1 necrotic core, 2 oedema, 3 enhancing. tumour, brain: voxel indices (N, 3) to centre patches on.
    """

    name: str
    image: torch.Tensor
    labels: torch.Tensor
    tumour: NDArray[np.int16]
    brain: NDArray[np.int16]


def read_case(case: DatalistCase, bundle: Bundle) -> TumourCase:
    """Read one case and bring it onto the model grid of `bundle`.

    Raises TrainingError when a contrast or the label map is not named, or the label map lies on another grid or holds
    other labels than those of BraTS, and InputError or UnsuitableScanError for scans that cannot be read or combined.
    """
    if missing := [role for role in ROLES if role not in case.roles]:
        raise TrainingError(
            f"case {case.id} has no {', '.join(missing)}; name every channel's role in the datalist's modality"
        )
    volumes = [read_scan(case, case.roles.index(role)) for role in ROLES]
    image, affine = network_input(bundle, volumes)
    truth = read_labels(case, volumes[0], BRATS_LABELS)
    stored = truth.array.copy()
    stored[np.isin(stored, ENHANCING)] = 3
    i, j, k = image.shape[1:]
    return make_case(case.id, torch.from_numpy(image), labels_on_grid(stored, truth.affine_ras, (i, j, k), affine))


def make_case(name: str, image: torch.Tensor, labels: NDArray[np.uint8]) -> TumourCase:
    """A case from its model-grid arrays: float (4, I, J, K) and uint8 (I, J, K)."""
    plain = image.as_tensor() if isinstance(image, MetaTensor) else image
    inside = (plain != 0).any(0).numpy()
    return TumourCase(
        name,
        plain.half(),
        torch.from_numpy(labels),
        np.argwhere(labels > 0).astype(np.int16),
        np.argwhere(inside)[::37].astype(np.int16),
    )


def regions(labels: torch.Tensor) -> torch.Tensor:
    """Label map (*S) to float masks (3, *S) in the order of REGIONS."""
    return torch.stack([(labels == 1) | (labels == 3), labels > 0, labels == 3]).float()


def visible(roles: Collection[str]) -> torch.Tensor:
    """Which of REGIONS can be told from these contrasts, float (3,): 1 or 0."""
    return torch.tensor([float("t1c" in roles or region not in NEEDS_CONTRAST_AGENT) for region in REGIONS])
