"""The training task of `brain_tumour`: three overlapping regions by BCE and Tversky loss, judged on whole cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from medimg.bundle import Bundle, load_bundle
from medimg.datalist.layouts import ROLES
from medimg.inference.prepare import network_input
from medimg.inference.resample import labels_on_grid
from medimg.phantoms.brain import brain
from medimg.pipeline import load_pipeline
from medimg.study import Source, Volume
from medimg.train.cases import divide, divide_by_name, read_cases
from medimg.train.labelled import LabelledCase, make_case, patch
from medimg.train.segmentation import region_scores
from medimg.train.tumour_data import REGIONS, read_case, regions, visible
from medimg.train.tumour_heads import HeadPool
from medimg.train.tumour_patches import dropped, scanner, without

PHANTOM_SEED = 1000
"""Training phantoms are drawn from here on; sample_data/ and the tests use small seeds."""

FLOOR = 50.0
"""Voxels (mm3) added to both sides of the overlap ratio of one patch and region: a region that is absent costs what is
drawn of it beside 0.1 ml, and a lesion of a few voxels does not weigh as much as a tumour."""


class TumourTask:
    """Batches of patches from real and analytic cases; see `medimg.train.task.Task`.

    data: datalist, or folder of case folders (BraTS as published, old or new names). pipeline: whose bundle
    preprocesses. holdout: cases never read. validation: cases scored whole, or fold: "k/n", see `divide`.
    large_size from step `large_from` on: patches that show the network most of a brain at once.
    missed: weight of missed voxels against falsely drawn ones (1 - missed) for each of REGIONS: 0.5 is Dice, 0.7 the
    choice of Salehi et al. (Tversky loss, MLMI 2017). heads, renew, synthetic: the pool that patches come from, see
    `HeadPool`. phantoms: analytic brains among the cases.
    """

    def __init__(
        self,
        data: str,
        seed: int,
        pipeline: str = "brain_tumour",
        holdout: Sequence[str] = (),
        validation: Sequence[str] = (),
        fold: str = "",
        batch_size: int = 2,
        size: int = 96,
        large_size: int = 128,
        large_from: int = 1 << 30,
        tumour_share: float = 0.7,
        missed: Sequence[float] = (0.5, 0.5, 0.5),
        heads: int = 12,
        renew: int = 8,
        synthetic: tuple[float, float, float] = (0.5, 0.3, 0.3),
        phantoms: int = 0,
    ) -> None:
        self.seed, self.batch_size, self.tumour_share = seed, batch_size, tumour_share
        self.missed = torch.tensor(missed)
        self.size, self.large_size, self.large_from = size, large_size, large_from
        self.bundle = load_bundle(load_pipeline(pipeline).bundle)
        cases = read_cases(Path(data), set(holdout))
        kept, scored = divide_by_name(cases, validation) if validation and not fold else divide(cases, fold, seed)
        self.cases = {"training": [case.id for case in kept], "validation": [case.id for case in scored]}
        self.validation = [read_case(case, self.bundle) for case in scored]
        self.training = [read_case(case, self.bundle) for case in kept]
        self.training += [_phantom(number, self.bundle) for number in range(phantoms)]
        self.pool = HeadPool(self.training, seed, heads, renew, synthetic)

    def batch(self, step: int) -> dict[str, Tensor]:
        """Patches and their region masks; one large patch instead of a batch late in the run."""
        rng = np.random.default_rng([self.seed, 0, step])
        large = step >= self.large_from
        size, count = (self.large_size, 1) if large else (self.size, self.batch_size)
        heads = self.pool.at(step)
        images, masks, seen = [], [], []
        for _ in range(count):
            image, labels = patch(heads[int(rng.integers(len(heads)))], size, self.tumour_share, rng)
            missing = dropped(rng)
            images.append(without(scanner(image, rng), missing))
            masks.append(regions(labels))
            seen.append(visible({role for channel, role in enumerate(ROLES) if channel not in missing}))
        return {"image": torch.stack(images), "regions": torch.stack(masks), "visible": torch.stack(seen)}

    def loss(self, output: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Binary cross-entropy plus the Tversky loss of each patch and region; the mean of those that can be seen."""
        truth, seen = batch["regions"], batch["visible"]
        axes = (2, 3, 4)
        entropy = functional.binary_cross_entropy_with_logits(output, truth, reduction="none").mean(axes)
        probability = output.sigmoid()
        overlap = (probability * truth).sum(axes)
        weight = self.missed.to(truth.device)
        wrong = weight * (truth.sum(axes) - overlap) + (1 - weight) * (probability.sum(axes) - overlap)
        tversky = 1 - (overlap + FLOOR) / (overlap + wrong + FLOOR)
        bce, unlike = ((value * seen).sum() / seen.sum() for value in (entropy, tversky))
        return {"loss": bce + unlike, "bce": bce, "tversky": unlike}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Mean Dice of each region over the validation cases; the score is their mean."""
        return region_scores(self.bundle, network, self.validation, regions, REGIONS)

    def refresh(self, network: nn.Module, step: int) -> None:
        """Nothing here depends on the network."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""


def _phantom(number: int, bundle: Bundle) -> LabelledCase:
    """An analytic brain of medimg.phantoms, brought onto the model grid like a real case."""
    phantom = brain(seed=PHANTOM_SEED + number)
    source = Source(path=Path(f"phantom-{number}"), kind="phantom")
    volumes = [Volume(phantom.contrasts[role], phantom.affine_ras, source) for role in ROLES]
    image, affine = network_input(bundle, volumes)
    i, j, k = image.shape[1:]
    labels = labels_on_grid(phantom.labels, phantom.affine_ras, (i, j, k), affine)
    return make_case(f"phantom-{number}", torch.from_numpy(image), labels)
