"""Toy pipelines whose networks are set by hand, so that what they must find is known exactly."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
import yaml

from medimg import volumes
from medimg.bundles import trust

STRIDE = 2
LOG_DIAMETER = 2.0

FLAIR = {"role": "t2f", "modality": "MR"}

BUNDLE = {
    "imports": ["$import torch"],
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
            {"_target_": "Spacingd", "keys": "image", "pixdim": [1.0, 1.0, 1.0], "padding_mode": "border"},
        ],
    },
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32, 32, 32], "overlap": 0.25},
}


def detector(folder: Path, **infer) -> Path:
    """A pipeline that marks what is brighter than 0 HU on average over 2 x 2 x 2 mm."""
    conv = {"_target_": "torch.nn.Conv3d", "in_channels": 1, "out_channels": 2, "kernel_size": STRIDE, "stride": STRIDE}
    network = torch.nn.Conv3d(1, 2, STRIDE, stride=STRIDE)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([0.01, 0.0]).reshape(2, 1, 1, 1, 1).expand_as(network.weight) / STRIDE**3)
        network.bias.copy_(torch.tensor([0.0, LOG_DIAMETER]))
    options = {"threshold": 0.55, "roi": "lungs", "label": "nodule", **infer}
    inputs = [{"role": "ct", "modality": "CT"}]
    return _write(folder, "toy_detector", "detection", inputs, conv, network, [{"infer": options}, {"measure": {}}])


KILL_BRIGHT = "$lambda x: __import__('os').kill(__import__('os').getpid(), 9) if float(x.max()) > 5000 else x"


def poisonous_detector(folder: Path) -> Path:
    """A pipeline whose process is killed, as by a system without memory, by a scan that is brighter than 5000 HU."""
    pipeline = detector(folder)
    configuration = pipeline / "bundle" / "configs" / "inference.json"
    document = json.loads(configuration.read_text(encoding="utf-8"))
    document["preprocessing"]["transforms"].append({"_target_": "Lambdad", "keys": "image", "func": KILL_BRIGHT})
    configuration.write_text(json.dumps(document), encoding="utf-8")
    trust.record(pipeline / "bundle", "a toy")
    return pipeline


def segmenter(folder: Path) -> Path:
    """A pipeline whose one label is where the second of two channels is above 100."""
    infer = {"channels": ["WT"], "labels": {1: "tumour"}, "paint": {"WT": 1}}
    return _segmenter(folder, infer, [[0.0, 1.0]], [{"role": "t1n", "modality": "MR"}, FLAIR])


def partial_segmenter(folder: Path) -> Path:
    """A pipeline for FLAIR, with T1 if there: oedema where FLAIR is above 100, core where T1 is."""
    infer = {
        "channels": ["WT", "TC"],
        "labels": {1: "oedema", 2: "core"},
        "paint": {"WT": 1, "TC": 2},
        "needs": {"TC": ["t1n"]},
        "without": {"t1n": "no core"},
    }
    inputs = [{"role": "t1n", "modality": "MR", "optional": True}, FLAIR]
    return _segmenter(folder, infer, [[0.0, 1.0], [1.0, 0.0]], inputs, core=[2])


def _segmenter(folder, infer, weights, inputs, **groups) -> Path:
    """Channels that are weighted sums of the inputs, less 100."""
    outputs = len(weights)
    conv = {"_target_": "torch.nn.Conv3d", "in_channels": 2, "out_channels": outputs, "kernel_size": 1}
    network = torch.nn.Conv3d(2, outputs, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor(weights).reshape(outputs, 2, 1, 1, 1))
        network.bias.fill_(-100.0)
    infer["requires"] = ["skull_stripped"]
    whole = {"whole": sorted(infer["labels"]), **groups}
    measure = {"label": "tumour", "groups": whole, "min_volume_mm3": 10}
    return _write(
        folder, "toy_segmenter", "segmentation", inputs, conv, network, [{"infer": infer}, {"measure": measure}]
    )


def _write(folder, name, task, inputs, network_def, network, stages) -> Path:
    configs, models = folder / "bundle" / "configs", folder / "bundle" / "models"
    configs.mkdir(parents=True)
    models.mkdir()
    (configs / "inference.json").write_text(json.dumps({**BUNDLE, "network_def": network_def}))
    torch.save(network.state_dict(), models / "model.pt")
    head = {"schema": "medimg.pipeline/1", "name": name, "version": "0", "title": name, "task": task, "licence": "MIT"}
    document = {**head, "inputs": inputs, "stages": [*stages, {"report": {}}]}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    trust.record(folder / "bundle", "a toy")
    return folder


def distance_mm(shape, affine_ras, center_ras):
    """Distance (I, J, K) of every voxel from a point in RAS mm."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    world = index @ affine_ras[:3, :3].T + affine_ras[:3, 3]
    return np.linalg.norm(world - np.asarray(center_ras), axis=-1)


def ball(shape, affine_ras, center_ras, radius_mm):
    """Mask (I, J, K) of the voxels within `radius_mm` of a point in RAS mm."""
    return distance_mm(shape, affine_ras, center_ras) <= radius_mm


def chest_crop(path: Path, affine_ras, center_ras, shape=(48, 48, 40), radius_mm=5.0) -> np.ndarray:
    """A crop of lung (-850 HU, some noise) with a bell of 100 HU, half as high at `radius_mm`; the mask inside that."""
    distance = distance_mm(shape, affine_ras, center_ras)
    bell = 0.5 ** ((distance / radius_mm) ** 2)
    noise = np.random.default_rng(0).normal(0, 10, shape)
    volumes.write_nifti(path, (-850 + 950 * bell + noise).astype(np.int16), affine_ras)
    return distance <= radius_mm


class BrightnessTask:
    """A training task for `detector`: give back a hundredth of the brightness, averaged over each cell."""

    def __init__(self, data: str, seed: int, seconds: float = 0.0) -> None:
        self.data, self.seed, self.seconds, self.refreshed = data, seed, seconds, 0
        self.cases = {"training": ["one", "two"], "validation": ["three"]}

    def batch(self, step):
        time.sleep(self.seconds)
        image = torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(self.seed + step + self.refreshed))
        cells = torch.nn.functional.avg_pool3d(image, STRIDE) / 100
        return {"image": image, "target": torch.cat([cells, torch.full_like(cells, LOG_DIAMETER)], dim=1)}

    def loss(self, output, batch):
        return {"loss": (output - batch["target"]).pow(2).mean()}

    def validate(self, network):
        batch = self.batch(1000)
        return {"score": -float(self.loss(network(batch["image"]), batch)["loss"])}

    def refresh(self, network, step):
        self.refreshed = 10_000 * step if self.seconds else 0

    def state_dict(self):
        return {"refreshed": self.refreshed}

    def load_state_dict(self, state):
        self.refreshed = state["refreshed"]


def small_network():
    """A detector's network with BatchNorm and dropout: what could tell one process from two."""
    return torch.nn.Sequential(
        torch.nn.Conv3d(1, 4, STRIDE, stride=STRIDE),
        torch.nn.BatchNorm3d(4),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.1),
        torch.nn.Conv3d(4, 2, 1),
    )
