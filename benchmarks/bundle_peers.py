"""Bundles with the zoo's exact configurations and random weights, scans for them, and MONAI's own ways to run them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

# the configurations are those of the parity tests
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import zoo

from medimg import geometry, volumes
from medimg.phantoms.brain import brain
from medimg.phantoms.thorax import thorax

PACKAGES = ("medimg", "torch", "monai", "openvino", "numpy")
"""Packages whose versions belong to the figures."""

ROLES = ("t1c", "t1n", "t2w", "t2f")
"""Contrasts in the order of the brats bundle's channels."""

PEER_CONFIG = "peer.json"
"""What the zoo's own configuration has beside the parts that `zoo` writes: datalist, loader and evaluator."""

LUNG_PEER = """
import json, math, sys, time
from pathlib import Path
import torch
from monai.bundle import ConfigParser
from monai.apps.detection.transforms.dictionary import AffineBoxToWorldCoordinated, ClipBoxToImaged, ConvertBoxModed
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Orientationd, ScaleIntensityRanged, Spacingd
from medimg.inference.fpn import resnet_fpn

folder, scan, output = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
parser = ConfigParser(json.loads((folder / "configs" / "inference.json").read_text()))
parser["bundle_root"] = str(folder)
extractor = {"_target_": "medimg.inference.fpn.resnet_fpn", "backbone": "@backbone", "returned_layers": [1, 2]}
parser["feature_extractor"] = extractor
device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
detector = parser.get_parsed_content("detector")
parser.get_parsed_content("detector_ops")
detector.network.load_state_dict(torch.load(folder / "models" / "model.pt", weights_only=True, map_location=device))
detector.to(device).eval()
image = Compose([
    LoadImaged("image"), EnsureChannelFirstd("image"), Orientationd("image", axcodes="RAS"),
    Spacingd("image", pixdim=(0.703125, 0.703125, 1.25)),
    ScaleIntensityRanged("image", -1024.0, 300.0, 0.0, 1.0, clip=True),
])({"image": scan})["image"]
amp = torch.autocast(device.type, enabled=device.type == "cuda")
# the rule of the bundle's own RetinaNetInferer: an image smaller than a window goes through as it is
sliding = image.numel() >= math.prod(detector.inferer.roi_size)
with torch.inference_mode(), amp:
    (found,) = detector([image.as_tensor().to(device)], use_inferer=sliding)
found = Compose([
    ClipBoxToImaged("box", label_keys=["label", "label_scores"], box_ref_image_keys="image", remove_empty=True),
    AffineBoxToWorldCoordinated("box", box_ref_image_keys="image", affine_lps_to_ras=True),
    ConvertBoxModed("box", src_mode="xyzxyz", dst_mode="cccwhd"),
])({**{key: value.float().cpu() for key, value in found.items()}, "image": image})
output.mkdir(parents=True, exist_ok=True)
(output / "boxes.json").write_text(json.dumps(
    {"box": found["box"].tolist(), "score": found["label_scores"].tolist()}))
"""
"""The lung bundle by MONAI's own RetinaNetDetector, with the bundle's configuration.

`monai.bundle run` itself cannot run here: the bundle's feature extractor needs torchvision's private helpers, and its
inferer is a script of the download. The feature extractor is replaced by medimg's, with the same weights.
"""


def brats_case(folder: Path, shape: tuple[int, int, int], seed: int = 1) -> list[Path]:
    """A skull-stripped head with a tumour, four contrasts in the bundle's order; 1 mm, as the bundle wants it.

    A smaller shape is a smaller head.
    """
    phantom = brain(seed=seed, shape=shape)
    affine = phantom.affine_ras @ np.diag([*(1 / geometry.spacing_mm(phantom.affine_ras)), 1])
    paths = [folder / f"P-{role}.nii.gz" for role in ROLES]
    for path, role in zip(paths, ROLES, strict=True):
        volumes.write_nifti(path, phantom.contrasts[role], affine)
    return paths


def chest(path: Path, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Path:
    """A chest CT in HU."""
    phantom = thorax(shape, spacing_mm, seed=22)
    volumes.write_nifti(path, phantom.array, phantom.affine_ras)
    return path


def runnable(bundle: Path, files: Sequence[Sequence[Path]]) -> Path:
    """Give the bundle the rest of a zoo configuration, for these cases of one or more files; its folder."""
    network_and_images = {"model": "@network"}
    images = [[str(path) for path in case] if len(case) > 1 else str(case[0]) for case in files]
    rest = {
        "dataset": zoo.component("Dataset", data=[{"image": image} for image in images], transform="@preprocessing"),
        "dataloader": zoo.component("DataLoader", dataset="@dataset", batch_size=1, num_workers=0),
        "handlers": [
            zoo.component(
                "CheckpointLoader",
                load_path="$@bundle_root + '/models/model.pt'",
                load_dict=network_and_images,
                map_location="@device",
            )
        ],
        "evaluator": zoo.component(
            "SupervisedEvaluator",
            device="@device",
            val_data_loader="@dataloader",
            network="@network",
            inferer="@inferer",
            postprocessing="@postprocessing",
            val_handlers="@handlers",
            amp=True,
        ),
        "run": ["$@evaluator.run()"],
    }
    (bundle / "configs" / PEER_CONFIG).write_text(json.dumps(rest, indent=2), encoding="utf-8")
    return bundle


def monai_bundle_run(bundle: Path, output: Path) -> list[str | Path]:
    """The command line of the peer on a bundle that `runnable` completed."""
    configs = f"['{bundle}/configs/inference.json','{bundle}/configs/{PEER_CONFIG}']"
    command = [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--config_file", configs]
    return [*command, "--bundle_root", bundle, "--output_dir", output]


def monai_detector(bundle: Path, scan: Path, output: Path) -> list[str | Path]:
    """The command line of LUNG_PEER."""
    return [sys.executable, "-W", "ignore", "-c", LUNG_PEER, bundle, scan, output]


def medimg(*arguments: str | Path) -> list[str | Path]:
    """The command line of medimg, as the installed program starts it."""
    return [Path(sys.executable).with_name("medimg"), *arguments]


def labels(folder: Path) -> NDArray[np.uint8]:
    """The one label map below a folder of results."""
    (path,) = [path for path in sorted(folder.rglob("*.nii.gz")) if "preprocessed" not in path.parts]
    return np.asarray(nib.load(path).dataobj).astype(np.uint8).squeeze()


def dice(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> dict[int, float]:
    """Dice of each label that either has."""
    values = sorted({*np.unique(ours).tolist(), *np.unique(theirs).tolist()} - {0})
    return {
        value: float(
            2 * np.sum((ours == value) & (theirs == value)) / (np.sum(ours == value) + np.sum(theirs == value))
        )
        for value in values
    }


def report(folder: Path) -> dict[str, object]:
    """medimg's report.json."""
    document: dict[str, object] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return document


def matched_boxes(ours: Path, theirs: Path, score: float = 0.1) -> str:
    """How far the peer's boxes of at least `score` lie from the nearest of medimg's, in words."""
    found = np.array([finding["center_lps_mm"] for finding in report(ours)["findings"]])  # type: ignore[attr-defined]
    peer = json.loads((theirs / "boxes.json").read_text(encoding="utf-8"))
    wanted = np.array([box[:3] for box, p in zip(peer["box"], peer["score"], strict=True) if p >= score])
    if not len(wanted) or not len(found):
        return f"{len(wanted)} boxes of the peer of score >= {score}, {len(found)} findings"
    distance = np.linalg.norm(wanted[:, None] - found[None], axis=-1).min(axis=1)
    return f"{np.mean(distance < 1):.1%} of {len(wanted)} boxes of score >= {score} within 1 mm"
