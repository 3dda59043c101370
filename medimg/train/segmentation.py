"""A training task for any segmentation pipeline: images and label maps in, overlapping regions by BCE and Dice loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.losses.dice import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

from medimg.bundle import Bundle, load_bundle
from medimg.datalist.read import DatalistCase
from medimg.errors import TrainingError
from medimg.evaluate.regions import Regions
from medimg.inference.device import choose_device
from medimg.inference.maps import logit_maps
from medimg.inference.network import Network
from medimg.inference.prepare import network_input
from medimg.inference.resample import labels_on_grid
from medimg.pipeline import Pipeline, load_pipeline
from medimg.study import Volume
from medimg.train.cases import divide, read_cases, read_labels, read_scan
from medimg.train.labelled import LabelledCase, make_case, patch

GAIN, SHIFT, NOISE = (0.9, 1.1), (-0.1, 0.1), (0.0, 0.1)
"""What differs between scanners, in units of the network's input: each patch and channel draws its own."""


class SegmentationTask:
    """Patches of datalist cases with a label map; see `medimg.train.task.Task`.

    data: datalist, or folder that `medimg datalist` knows. pipeline: whose bundle preprocesses. regions: channel of
    the network, in the order of its output -> labels that make it up; any other label is refused. holdout: cases never
    read. fold: "k/n", see `divide`. size: edge of a patch in voxels of the model grid, a multiple of the network's
    strides. foreground: share of patches around a labelled voxel.
    """

    def __init__(
        self,
        data: str,
        seed: int,
        pipeline: str,
        regions: Mapping[str, Sequence[int]],
        holdout: Sequence[str] = (),
        fold: str = "0/5",
        batch_size: int = 2,
        size: int = 96,
        foreground: float = 0.7,
    ) -> None:
        self.seed, self.batch_size, self.size, self.foreground = seed, batch_size, size, foreground
        self.regions = Regions({str(name): tuple(values) for name, values in regions.items()})
        owner = load_pipeline(pipeline)
        if tuple(owner.options("infer").get("channels", ())) != tuple(self.regions.values):
            raise TrainingError(
                f"regions {', '.join(self.regions.values)} are not the channels of {owner.name}, in order"
            )
        self.bundle = load_bundle(owner.bundle)
        kept, scored = divide(read_cases(Path(data), set(holdout)), fold, seed)
        self.cases = {"training": [case.id for case in kept], "validation": [case.id for case in scored]}
        self.training, self.validation = ([self._read(owner, case) for case in part] for part in (kept, scored))
        self.dice = DiceLoss(sigmoid=True)

    def batch(self, index: int) -> dict[str, Tensor]:
        """image (B, C, S, S, S), and the masks of the regions (B, R, S, S, S)."""
        rng = np.random.default_rng([self.seed, index])
        images, masks = [], []
        for _ in range(self.batch_size):
            case = self.training[int(rng.integers(len(self.training)))]
            image, labels = patch(case, self.size, self.foreground, rng)
            images.append(_scanner(image, rng))
            masks.append(self._masks(labels))
        return {"image": torch.stack(images), "regions": torch.stack(masks)}

    def loss(self, output: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Binary cross-entropy plus Dice loss of each patch and region."""
        if output.shape != batch["regions"].shape:
            raise TrainingError(
                f"the network gives {tuple(output.shape)} for regions {tuple(batch['regions'].shape)}; "
                "its channels must be the regions, at the resolution of its input"
            )
        entropy = functional.binary_cross_entropy_with_logits(output, batch["regions"])
        dice = self.dice(output, batch["regions"])
        return {"loss": entropy + dice, "bce": entropy, "dice": dice}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Mean Dice of each region over the validation cases; the score is their mean."""
        return region_scores(self.bundle, network, self.validation, self._masks, tuple(self.regions.values))

    def refresh(self, network: nn.Module, step: int) -> None:
        """Nothing here depends on the network."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""

    def _masks(self, labels: Tensor) -> Tensor:
        """Label map (*S) to float masks (R, *S)."""
        stored = labels.numpy()
        return torch.stack([torch.from_numpy(self.regions.mask(stored, name)) for name in self.regions.values]).float()

    def _read(self, pipeline: Pipeline, case: DatalistCase) -> LabelledCase:
        volumes = _channels(pipeline, case)
        image, affine = network_input(self.bundle, volumes)
        labels = read_labels(case, volumes[0], self.regions)
        i, j, k = image.shape[1:]
        drawn = labels_on_grid(labels.array, labels.affine_ras, (i, j, k), affine)
        return make_case(case.id, torch.from_numpy(image), drawn)


def _channels(pipeline: Pipeline, case: DatalistCase) -> list[Volume]:
    """The volumes in the pipeline's order: by role where the datalist names roles, else as they come."""
    if len(case.images) != len(pipeline.inputs):
        raise TrainingError(
            f"case {case.id} has {len(case.images)} images, {pipeline.name} takes {', '.join(pipeline.roles)}"
        )
    order = range(len(case.images))
    if set(case.roles) == set(pipeline.roles):
        order = [case.roles.index(role) for role in pipeline.roles]  # type: ignore[assignment]
    return [read_scan(case, channel) for channel in order]


def region_scores(
    bundle: Bundle,
    network: nn.Module,
    cases: Sequence[LabelledCase],
    masks_of: Callable[[Tensor], Tensor],
    names: Sequence[str],
) -> dict[str, float]:
    """Mean Dice of each region over whole cases, and "score", the mean of the regions."""
    device = choose_device(str(next(network.parameters()).device))
    scores: list[list[float]] = []
    for case in cases:
        logits = logit_maps(bundle, Network(lambda: network), case.image.float().numpy(), device)
        masks = torch.from_numpy(logits > 0)
        truth = masks_of(case.labels) > 0
        scores.append([dice_score(mask, expected) for mask, expected in zip(masks, truth, strict=True)])
    means = np.mean(scores, axis=0)
    return {"score": float(means.mean()), **{n: float(v) for n, v in zip(names, means, strict=True)}}


def dice_score(mask: Tensor, truth: Tensor) -> float:
    """2 |A and B| / (|A| + |B|); 1 when both are empty (the BraTS challenge's rule)."""
    total = int(mask.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2 * int((mask & truth).sum()) / total


def _scanner(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Gain, shift and noise of each channel (C, S, S, S); what is 0, outside the patient or the scan, stays 0."""
    count = (len(image), 1, 1, 1)
    gain, shift, noise = (torch.from_numpy(rng.uniform(*span, count)).float() for span in (GAIN, SHIFT, NOISE))
    grain = torch.randn(image.shape, generator=torch.Generator().manual_seed(int(rng.integers(1 << 31))))
    return (image * gain + shift + grain * noise) * (image != 0)
