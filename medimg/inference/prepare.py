"""From volumes to the network's input: channels stacked on one grid, then the bundle's own transforms."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medimg import files, geometry
from medimg.errors import Reason, UnsuitableScanError
from medimg.inference.network import Network
from medimg.study import Volume

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from medimg.bundle import Bundle

GRID_TOLERANCE_MM = 0.5
"""Co-registered contrasts may differ by rounding in their headers, not by half a millimetre anywhere."""


def require_one_grid(volumes: Sequence[Volume]) -> None:
    """Raise UnsuitableScanError when the volumes are not on one grid, to GRID_TOLERANCE_MM."""
    first = volumes[0]
    for other in volumes[1:]:
        if not geometry.same_grid(first.shape, first.affine_ras, other.shape, other.affine_ras, GRID_TOLERANCE_MM):
            raise UnsuitableScanError(
                Reason.GRID_MISMATCH,
                f"{other.source.path} ({_grid(other)}) is not on the grid of {first.source.path} ({_grid(first)}); "
                "co-register and resample the contrasts first",
            )


def with_blanks(volumes: Mapping[str, Volume], roles: Sequence[str]) -> list[Volume]:
    """One volume a role, in their order; a role that was not scanned gets zeros on the grid of the others.

    After a z-score over the nonzero voxels, 0 is the mean of the brain: what the networks are trained to take for
    "not known".
    """
    pattern = next(iter(volumes.values()))
    blank = replace(pattern, array=np.zeros(pattern.shape, dtype=np.float32))
    return [volumes.get(role, blank) for role in roles]


def stacked_array(volumes: Sequence[Volume]) -> NDArray[np.float32]:
    """Volumes of one grid, in channel order: float32 (C, I, J, K)."""
    require_one_grid(volumes)
    channels = np.empty((len(volumes), *volumes[0].shape), dtype=np.float32)
    with ThreadPoolExecutor(len(volumes)) as pool:
        # numpy copies without the interpreter's lock, and files are in another order than networks
        list(pool.map(np.copyto, channels, [volume.array for volume in volumes]))
    return channels


def stacked(volumes: Sequence[Volume]) -> MetaTensor:
    """`stacked_array` as a MetaTensor (C, I, J, K) with the RAS mm affine."""
    import torch
    from monai.data import MetaTensor

    affine = torch.from_numpy(np.array(volumes[0].affine_ras))
    return MetaTensor(torch.from_numpy(stacked_array(volumes)), affine=affine, meta={"space": "RAS"})


def network_input(bundle: Bundle, volumes: Sequence[Volume]) -> tuple[NDArray[np.float32], geometry.Affine]:
    """The bundle's preprocessing applied to the volumes: float32 (C, I, J, K) on the model grid, and its RAS affine."""
    from medimg.inference.chain import preprocessed

    image = preprocessed(bundle.preprocessing, {"image": stacked(volumes)})["image"]
    return image.as_tensor().numpy(), np.asarray(image.affine, dtype=np.float64)


def trained(bundle: Bundle) -> Network:
    """The bundle's network with its weights, as the engine takes it."""
    return Network(bundle.trained_network, model_digest(bundle), bundle.folder.name)


def model_digest(bundle: Bundle) -> str:
    """SHA-256 of what is executed and of the weights."""
    if not bundle.weights.is_file():
        return bundle.digest
    return hashlib.sha256(f"{bundle.digest}\0{files.sha256_of_file(bundle.weights)}".encode()).hexdigest()


def _grid(volume: Volume) -> str:
    shape = "x".join(map(str, volume.shape))
    spacing = "x".join(f"{value:.3g}" for value in volume.spacing_mm)
    origin = ", ".join(f"{value:.1f}" for value in volume.affine_ras[:3, 3])
    return f"{shape} voxels of {spacing} mm, axes {geometry.axis_codes(volume.affine_ras)} from ({origin}) RAS mm"
