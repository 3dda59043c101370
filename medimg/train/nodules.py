"""The lung nodule detector's training task: batches, CenterNet loss, held-out validation, hard negatives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from medimg.errors import TrainingError
from medimg.inference.detect import Candidates, cell_to_voxel, peaks
from medimg.train import nodule_patches as patches
from medimg.train.nodule_augment import augmented, normalised
from medimg.train.nodule_canvas import SIZE, Patch, Rng, Truth, Vector
from medimg.train.nodule_data import Crop, Scan, draw_phantoms
from medimg.train.nodule_paste import pasted
from medimg.train.nodule_split import split

STRIDE = 2
"""Input voxels per cell of the heat map."""

KINDS: dict[str, Callable[[patches.Sources, Rng], Patch]] = {
    "reflected": patches.reflected,
    "embedded": patches.embedded,
    "negative": patches.negative_embedded,
    "pasted": pasted,
    "canvas": patches.on_canvas,
    "scan_nodule": patches.whole_scan_nodule,
    "phantom": patches.phantom,
    "background": patches.background,
    "mined": patches.mined,
}
"""Ways to make a patch; the configuration's `mix` gives each its share."""

SIGMA_FRACTION, SIGMA_RANGE_MM = 0.2, (1.5, 5.0)
"""Width of a nodule's Gaussian: a fifth of its diameter, within the range (shared/reference/models.md)."""

POSITIVE_MM, POSITIVE_FRACTION = 1.8, 0.12
"""Cells this close to the centre, or within this fraction of the diameter, are positive."""

FOCAL_ALPHA, FOCAL_BETA = 2, 4
"""CenterNet's focal loss (Zhou et al., Objects as Points, 2019, equation 1)."""

SIZE_WEIGHT = 0.2
"""Weight of the L1 loss of the logarithm of the diameter."""

RATES = (1.0, 2.0, 4.0, 8.0)
"""False positives a scan at which validation reads the sensitivity."""

MARGIN_RATE = 4.0
"""The rate of RATES whose threshold the margin is measured from."""

MINED_THRESHOLD = 0.05
"""Peaks of training scans above this are worth showing again."""

WINDOW = (128, 128, 128)
OVERLAP = 0.25

MULTIPLE = 8
"""Windows must be a multiple of this: the network halves them three times."""


class NoduleTask:
    """See `medimg.train.task.Task`.

    data: datalist with boxes, or folder laid out as `nodule_data` says. holdout: patients (of a datalist: cases) that
    are in no set at all. fold: "k/n": the patients are drawn by `seed` into n folds, and those of fold k (from 0) are
    kept for validation. Of a folder alone, validation_scan: the scan whose upper `validation_part` (along the patient)
    only measures false positives. phantoms: how many analytic chests are drawn. mix: share of each kind of patch.
    """

    def __init__(
        self,
        data: str | Path,
        seed: int,
        *,
        mix: Mapping[str, float],
        batch_size: int = 8,
        holdout: Iterable[str] = (),
        fold: str = "0/7",
        validation_scan: str = "",
        validation_part: float = 1 / 3,
        phantoms: int = 0,
    ) -> None:
        if unknown := sorted(set(mix) - set(KINDS)):
            raise TrainingError(f"mix names unknown kinds {', '.join(unknown)}; known are {', '.join(KINDS)}")
        self.seed = seed
        self.batch_size = batch_size
        shares = np.array([float(mix.get(kind, 0)) for kind in KINDS])
        self.shares = shares / shares.sum()
        chosen = split(Path(data), tuple(holdout), fold, seed, validation_scan, validation_part)
        self.cases = chosen.cases
        self.train_crops, self.train_scans = chosen.crops, chosen.scans
        self.validation_crops, self.validation_scans = chosen.validation_crops, chosen.validation_scans
        self.validation_share = chosen.validation_share
        points = [np.argwhere(scan.lung).astype(np.int32) for scan in self.train_scans]
        drawn = draw_phantoms(phantoms, seed)
        self.sources = patches.Sources(self.train_crops, self.train_scans, points, np.empty((0, 4)), drawn)

    def batch(self, step: int) -> dict[str, Tensor]:
        """image (B, 1, S, S, S); heat, log_diameter, known (B, S/2, S/2, S/2): target, ln mm (0: none), 0/1 weight."""
        rows = [self._sample(np.random.default_rng([self.seed, step, row])) for row in range(self.batch_size)]
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    def loss(self, output: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """output (B, 2, ...): heat map logit and ln(diameter in mm)."""
        heat, known = batch["heat"], batch["known"]
        positive = (heat == 1) & (known > 0)
        log_p, log_q = functional.logsigmoid(output[:, 0]), functional.logsigmoid(-output[:, 0])
        hit = -((log_q.exp()) ** FOCAL_ALPHA) * log_p * positive
        alarm = -((1 - heat) ** FOCAL_BETA) * (log_p.exp() ** FOCAL_ALPHA) * log_q * known
        count = positive.sum().clamp_min(1)
        focal = (hit.sum() + (alarm * ~positive).sum()) / count
        size = ((output[:, 1] - batch["log_diameter"]).abs() * positive).sum() / count
        return {"loss": focal + SIZE_WEIGHT * size, "focal": focal, "size": size}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Sensitivity on held-out crops at fixed false positives a scan.

        score: mean sensitivity plus the mean margin of the crops over the threshold of MARGIN_RATE. A few crops tie or
        swing by chance; an untrained network finds all of them at a probability that nothing exceeds.
        """
        hits, errors = zip(*(self._hit(network, crop) for crop in self.validation_crops), strict=True)
        found = [self._alarms(network, scan).probability for scan in self.validation_scans]
        # strongest first, and a zero so that the curve ends
        alarms = np.append(np.sort(np.concatenate(found))[::-1], 0.0)
        result: dict[str, float] = {}
        for rate in RATES:
            threshold = float(np.interp(rate * self.validation_share, np.arange(len(alarms)), alarms))
            result[f"sensitivity_{rate:g}"] = float(np.mean(np.array(hits) > threshold))
            result[f"threshold_{rate:g}"] = threshold
        result["mean_probability"] = float(np.mean(hits))
        if any(hits):
            result["diameter_error"] = float(np.nanmedian(errors))
        sensitivity = float(np.mean([result[f"sensitivity_{rate:g}"] for rate in RATES]))
        result["score"] = sensitivity + result["mean_probability"] - result[f"threshold_{MARGIN_RATE:g}"]
        return result

    def refresh(self, network: nn.Module, step: int) -> None:
        """Mine the training scans for false alarms."""
        rows = []
        for index, scan in enumerate(self.train_scans):
            alarms = self._alarms(network, scan)
            rows.append(np.column_stack([np.full(len(alarms), index), alarms.voxels]))
        self._set_mined(np.concatenate(rows))

    def state_dict(self) -> dict[str, Any]:
        """The mined points."""
        return {"mined": torch.from_numpy(self.sources.mined)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The mined points."""
        self._set_mined(state["mined"].numpy())

    def _set_mined(self, points: NDArray[np.float64]) -> None:
        self.sources = replace(self.sources, mined=points)

    def _sample(self, rng: Rng) -> dict[str, Tensor]:
        kind = list(KINDS)[int(rng.choice(len(KINDS), p=self.shares))]
        patch = KINDS[kind](self.sources, rng)
        return {"image": normalised(augmented(patch.image, rng))[None], **targets(patch.truth)}

    def _hit(self, network: nn.Module, crop: Crop) -> tuple[float, float]:
        """Probability of the strongest candidate within the nodule's radius, and its relative diameter error."""
        found = _candidates(network, torch.from_numpy(crop.hu.astype(np.float32)), MINED_THRESHOLD)
        near = np.linalg.norm(found.voxels - crop.centre, axis=1) < crop.diameter_mm / 2
        if not near.any():
            return 0.0, float("nan")
        first = found.select(near)
        return float(first.probability[0]), abs(float(first.diameter_mm[0]) / crop.diameter_mm - 1)

    def _alarms(self, network: nn.Module, scan: Scan) -> Candidates:
        """Candidates in the lungs that are neither nodules nor of unknown truth."""
        low, high = (f(np.argwhere(scan.lung), axis=0) for f in (np.min, np.max))
        window = tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
        found = _candidates(network, torch.from_numpy(scan.hu[window].astype(np.float32)), MINED_THRESHOLD)
        voxels = found.voxels + low
        nearest = np.clip(np.rint(voxels).astype(int), 0, np.array(scan.hu.shape) - 1)
        wrong = scan.lung[tuple(nearest.T)]
        for table, factor in ((scan.nodules, 0.5), (scan.ignore, 1.0)):
            for row in table:
                wrong &= np.linalg.norm(voxels - row[:3], axis=1) > factor * row[3]
        return Candidates(voxels, found.probability, found.diameter_mm).select(wrong)


def targets(truth: Truth) -> dict[str, Tensor]:
    """heat, log_diameter and known, each (S/2, S/2, S/2), of one patch."""
    cells = SIZE // STRIDE
    axis = cell_to_voxel(np.arange(cells, dtype=np.float64), STRIDE)
    heat, known = np.zeros((cells,) * 3), np.ones((cells,) * 3)
    log_diameter = np.zeros((cells,) * 3)

    def squared(centre: Vector) -> NDArray[np.float64]:
        x, y, z = ((axis - c) ** 2 for c in centre)
        return np.asarray(x[:, None, None] + y[None, :, None] + z[None, None, :])

    for centre, radius in truth.ignore:
        known[squared(centre) < radius**2] = 0
    for centre, diameter in truth.nodules:
        distance2 = squared(centre)
        sigma = np.clip(SIGMA_FRACTION * diameter, *SIGMA_RANGE_MM)
        gauss = np.exp(-distance2 / (2 * sigma**2))
        positive = distance2 < max(POSITIVE_MM, POSITIVE_FRACTION * diameter) ** 2
        gauss[positive] = 1
        log_diameter[positive] = np.log(diameter)
        known[distance2 < (diameter / 2) ** 2] = 1
        heat = np.maximum(heat, gauss)
    arrays = {"heat": heat, "log_diameter": log_diameter, "known": known}
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}


def _candidates(network: nn.Module, hu: Tensor, threshold: float) -> Candidates:
    """Candidates in a volume (I, J, K) of HU at 1 mm."""
    image = normalised(hu)[None, None]
    image = functional.pad(image, [p for n in reversed(image.shape[2:]) for p in (0, -n % MULTIPLE)], mode="replicate")
    device = next(network.parameters()).device
    bf16 = device.type in {"cpu", "cuda"}

    def predict(windows: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            output: Tensor = network(windows.contiguous(memory_format=torch.channels_last_3d))
        return output.float()

    window = [min(w, n) for w, n in zip(WINDOW, image.shape[2:], strict=True)]
    with torch.no_grad():
        output = torch.as_tensor(
            sliding_window_inference(image.to(device), window, 1, predict, OVERLAP, mode="gaussian")
        )
    return peaks(torch.sigmoid(output[0, 0]), output[0, 1], STRIDE, threshold)
