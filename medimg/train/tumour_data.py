"""Glioma cases for training: four contrasts on the model grid, as the network will see them, and three regions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from medimg.bundle import Bundle
from medimg.errors import TrainingError
from medimg.inference.prepare import network_input
from medimg.inference.resample import labels_on_grid
from medimg.study import MR_ROLE_ALIASES
from medimg.volumes import read_volume, stem

ROLES = ("t1c", "t1n", "t2w", "t2f")
"""Channel order: that of MONAI's brats_mri_segmentation bundle (T1c, T1, T2, FLAIR)."""

REGIONS = ("TC", "WT", "ET")
"""Output order: tumour core, whole tumour, enhancing tumour (BraTS)."""

ENHANCING_LABELS = (3, 4)
"""Enhancing tumour is 3 in BraTS 2023+, 4 before; 1 is necrotic core, 2 oedema in both."""

NEEDS_CONTRAST_AGENT = ("TC", "ET")
"""Regions that only T1 with contrast agent shows; the whole tumour is seen without it."""

TIMEPOINT = re.compile(r"(?<=\d)-\d{3}$")
"""BraTS 2023+: BraTS-GLI-00005-001 is the second scan of patient BraTS-GLI-00005."""

SUFFIX = re.compile(r"[_\-]([A-Za-z0-9]+)$")


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


def case_folders(root: Path) -> list[Path]:
    """Folders below `root` that hold the four contrasts and a label map, sorted by name."""
    found = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and _files(folder) is not None]
    if not found:
        raise TrainingError(f"{root} holds no case folder with t1n, t1c, t2w, t2f and seg; see docs/train.md")
    return found


def read_case(folder: Path, bundle: Bundle) -> TumourCase:
    """Read one case and bring it onto the model grid of `bundle`."""
    paths = _files(folder)
    if paths is None:
        raise TrainingError(f"{folder} lacks one of t1n, t1c, t2w, t2f, seg")
    volumes = [read_volume(paths[role]) for role in ROLES]
    image, affine = network_input(bundle, volumes)
    truth = read_volume(paths["seg"])
    stored = np.asarray(truth.array).astype(np.uint8)
    stored[np.isin(stored, ENHANCING_LABELS)] = 3
    i, j, k = image.shape[1:]
    return make_case(folder.name, torch.from_numpy(image), labels_on_grid(stored, truth.affine_ras, (i, j, k), affine))


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


def fold_names(names: Sequence[str], fold: str, seed: int) -> list[str]:
    """The cases of fold "k/n" (k from 0): patients shuffled by `seed` and dealt out. Raises TrainingError."""
    match = re.fullmatch(r"(\d+)/(\d+)", fold)
    number, count = (int(part) for part in match.groups()) if match else (1, 0)
    patients = sorted({TIMEPOINT.sub("", name) for name in names})
    if not number < count <= len(patients):
        raise TrainingError(f"fold {fold!r} of {len(patients)} patients; write it k/n with k from 0 to n - 1")
    order = np.random.default_rng(seed).permutation(len(patients))
    chosen = {patients[index] for index in order[number::count]}
    return [name for name in names if TIMEPOINT.sub("", name) in chosen]


def _files(folder: Path) -> dict[str, Path] | None:
    found = dict(_named(folder))
    return found if {*ROLES, "seg"} <= set(found) else None


def _named(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.glob("*.nii*")):
        match = SUFFIX.search(stem(path))
        name = match.group(1).lower() if match else ""
        if role := ("seg" if name == "seg" else MR_ROLE_ALIASES.get(name)):
            yield role, path
