"""Glioma cases for training: four contrasts on the model grid, as the network will see them, and three regions."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch

from medimg.bundle import Bundle
from medimg.datalist.layouts import ROLES
from medimg.datalist.read import DatalistCase
from medimg.errors import TrainingError
from medimg.evaluate.regions import BRATS_REGIONS, ENHANCING, parse_regions
from medimg.inference.prepare import network_input
from medimg.inference.resample import labels_on_grid
from medimg.train.cases import read_labels, read_scan
from medimg.train.labelled import LabelledCase, make_case

REGIONS = ("TC", "WT", "ET")
"""Output order: tumour core, whole tumour, enhancing tumour (BraTS)."""

BRATS_LABELS = parse_regions(BRATS_REGIONS)
"""Enhancing tumour is 3 in BraTS 2023+, 4 before; 1 is necrotic core, 2 oedema in both."""

NEEDS_CONTRAST_AGENT = ("TC", "ET")
"""Regions that only T1 with contrast agent shows; the whole tumour is seen without it."""


def read_case(case: DatalistCase, bundle: Bundle) -> LabelledCase:
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


def regions(labels: torch.Tensor) -> torch.Tensor:
    """Label map (*S) to float masks (3, *S) in the order of REGIONS."""
    return torch.stack([(labels == 1) | (labels == 3), labels > 0, labels == 3]).float()


def visible(roles: Collection[str]) -> torch.Tensor:
    """Which of REGIONS can be told from these contrasts, float (3,): 1 or 0."""
    return torch.tensor([float("t1c" in roles or region not in NEEDS_CONTRAST_AGENT) for region in REGIONS])
