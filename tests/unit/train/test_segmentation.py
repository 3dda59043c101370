"""Any segmentation pipeline trained from an nnU-Net folder: regions, patches, loss and whole cases scored."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import yaml
from toy import BUNDLE

from medimg.bundles import trust
from medimg.errors import TrainingError, UsageError
from medimg.train.segmentation import SegmentationTask
from medimg.volumes import write_nifti

SIDE = 32
REGIONS = {"organ": [1, 2], "tumour": [2]}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline of one CT and two regions, without weights."""
    folder = tmp_path_factory.mktemp("pipeline")
    (folder / "bundle" / "configs").mkdir(parents=True)
    network = {"_target_": "torch.nn.Conv3d", "in_channels": 1, "out_channels": 2, "kernel_size": 1}
    config = json.dumps({**BUNDLE, "network_def": network})
    (folder / "bundle" / "configs" / "inference.json").write_text(config, encoding="utf-8")
    infer = {"channels": list(REGIONS), "labels": {1: "organ", 2: "tumour"}, "paint": {"organ": 1, "tumour": 2}}
    head = {"schema": "medimg.pipeline/1", "name": "organ", "version": "0", "title": "o", "licence": "MIT"}
    document = {
        **head,
        "task": "segmentation",
        "inputs": [{"role": "ct", "modality": "CT"}],
        "stages": [{"infer": infer}],
    }
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    trust.record(folder / "bundle", "a toy")
    return folder


def labels():
    i, j, k = np.indices((SIDE,) * 3)
    radius = np.sqrt((i - 14) ** 2 + (j - 17) ** 2 + (k - 15) ** 2)
    return np.select([radius < 4, radius < 9], [2, 1], 0).astype(np.uint8)


def write_folder(root, count=4, **truth):
    """An nnU-Net folder whose image says its label: 1, 2 and 3 for background, organ and tumour."""
    for part in ("imagesTr", "labelsTr"):
        (root / part).mkdir(parents=True)
    for number in range(count):
        stored = truth.get(f"case{number}", labels())
        write_nifti(root / "imagesTr" / f"case{number}_0000.nii.gz", labels().astype(np.int16) + 1, np.eye(4))
        write_nifti(root / "labelsTr" / f"case{number}.nii.gz", stored, np.eye(4))
    (root / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}}), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("nnunet"))


def make_task(data, pipeline, **options):
    settings = {"pipeline": str(pipeline), "regions": REGIONS, "fold": "0/2", "size": 16, **options}
    return SegmentationTask(str(data), 3, **settings)


def test_patches_and_masks_belong_together_and_are_a_function_of_seed_and_number(data, pipeline):
    task, again = (make_task(data, pipeline, size=SIDE) for _ in range(2))
    batch = task.batch(5)
    assert batch["image"].shape == (2, 1, SIDE, SIDE, SIDE)
    assert batch["regions"].shape == (2, 2, SIDE, SIDE, SIDE)
    assert all(torch.equal(value, again.batch(5)[name]) for name, value in batch.items())
    organ, tumour = batch["regions"][:, 0] > 0, batch["regions"][:, 1] > 0
    image = batch["image"][:, 0]
    assert image[tumour].mean() > image[organ & ~tumour].mean() > image[~organ].mean()


def test_the_loss_is_least_for_the_truth(data, pipeline):
    task = make_task(data, pipeline)
    batch = task.batch(0)
    right = 40 * (batch["regions"] - 0.5)
    assert float(task.loss(right, batch)["loss"]) < 0.01 < float(task.loss(-right, batch)["loss"])


def test_whole_cases_of_the_fold_are_scored(data, pipeline):
    class Exact(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.border = torch.nn.Parameter(torch.tensor([1.5, 2.5]))

        def forward(self, image):
            return image - self.border.view(1, 2, 1, 1, 1)

    task = make_task(data, pipeline)
    assert sorted(task.cases["training"] + task.cases["validation"]) == [f"case{number}" for number in range(4)]
    assert len(task.cases["validation"]) == 2
    assert task.validate(Exact()) == {"score": 1.0, "organ": 1.0, "tumour": 1.0}


def test_a_label_outside_the_regions_is_told(tmp_path, pipeline):
    root = write_folder(tmp_path / "d", case2=labels() + 3)
    with pytest.raises(TrainingError, match=r"case2\.nii\.gz holds labels 3, 4, 5; the regions know 1, 2"):
        make_task(root, pipeline)


def test_what_cannot_be_meant_is_told(data, pipeline):
    with pytest.raises(TrainingError, match="regions organ are not the channels of organ"):
        make_task(data, pipeline, regions={"organ": [1]})
    with pytest.raises(UsageError, match="9 folds of 4 patients"):
        make_task(data, pipeline, fold="0/9")


def test_a_network_of_other_channels_is_told(data, pipeline):
    task = make_task(data, pipeline)
    with pytest.raises(TrainingError, match="its channels must be the regions"):
        task.loss(torch.zeros(2, 3, 16, 16, 16), task.batch(0))
