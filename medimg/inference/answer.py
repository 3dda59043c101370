"""A described model's answer to a scan: labels on its own grid, or boxes.

Every step is MONAI's own here: this is what any faster way is held against.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.transforms import Invertd
from numpy.typing import NDArray

from medimg.errors import PipelineError
from medimg.inference.device import Device
from medimg.inference.model import ARGMAX, PAINT, Boxes, Decision, DetectionModel, SegmentationModel, Windows
from medimg.inference.prepare import stacked
from medimg.inference.resample import labels_on_grid
from medimg.progress import Progress, silent
from medimg.study import Volume

MAX_LABEL = 255
"""A uint8 label map holds no more."""


@torch.inference_mode()
def segment_labels(
    model: SegmentationModel, volumes: Sequence[Volume], device: Device, progress: Progress = silent
) -> NDArray[np.uint8]:
    """Label map (I, J, K) of the volumes (channel order, one grid) on the grid of the first.

    Raises PipelineError when the network does not give what its recipe says.
    """
    with _others_warnings_ignored():
        image, turned = _input(model, volumes)
        step = _Step(model.network, device, progress)
        logits = _inferer(model.windows)(image.as_tensor()[None].to(device.device), step)
        if not isinstance(logits, torch.Tensor):
            raise PipelineError(f"{model.name}: the network gives {type(logits).__name__}, not one map of its classes")
        labels = _labels(model, image, logits[0].float())
    if labels.numel() and not 0 <= float(labels.min()) <= float(labels.max()) <= MAX_LABEL:
        raise PipelineError(f"{model.name}: labels from {labels.min():g} to {labels.max():g} fit no 8-bit label map")
    if not torch.equal(labels, labels.round()):
        raise PipelineError(f"{model.name}: the postprocessing gives fractions, not labels; write a recipe")
    array = labels.cpu().numpy().astype(np.uint8)
    source = volumes[0]
    return labels_on_grid(array, turned.affine_ras, source.shape, source.affine_ras)


@torch.inference_mode()
def find_boxes(model: DetectionModel, volume: Volume, device: Device, progress: Progress = silent) -> Boxes:
    """The model's detections in the volume, most probable first."""
    with _others_warnings_ignored():
        image, found = _detected(model, volume, device, progress)
    scores, labels = found["labels_scores"], found["labels"]
    order = torch.argsort(scores, descending=True, stable=True)
    return Boxes(
        voxels=found["boxes"][order].float().cpu().numpy(),
        scores=scores[order].float().cpu().numpy(),
        labels=labels[order].cpu().numpy(),
        affine_ras=np.asarray(image.affine, dtype=np.float64),
    )


def _detected(
    model: DetectionModel, volume: Volume, device: Device, progress: Progress
) -> tuple[MetaTensor, dict[str, torch.Tensor]]:
    """The network's input, and MONAI's detector's own answer to it."""
    image, _ = _input(model, [volume])
    network = _Step(model.network, device, progress)
    detector = RetinaNetDetector(
        network, model.anchors, spatial_dims=3, num_classes=len(model.classes), size_divisible=model.size_divisible
    )
    detector.box_coder, detector.box_selector = model.coder, model.selector
    detector.inferer = _inferer(model.windows)
    detector.eval()
    plain = image.as_tensor().to(device.device)
    (found,) = detector([plain], use_inferer=plain[0].numel() >= model.whole_below)
    return image, found


@contextmanager
def _others_warnings_ignored() -> Iterator[None]:
    """MONAI's and numpy's, of code that is not ours: a transform without an inverse, arguments of the bundle's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _input(model: SegmentationModel | DetectionModel, volumes: Sequence[Volume]) -> tuple[MetaTensor, Volume]:
    """The network's input (C, I, J, K), and the first volume as it was turned for it."""
    turned = [volume if model.orientation is None else volume.turned(model.orientation) for volume in volumes]
    image = model.preprocess({model.key: stacked(turned)})[model.key]
    return image, turned[0]


def _inferer(windows: Windows) -> SlidingWindowInferer:
    return SlidingWindowInferer(
        roi_size=windows.size,
        sw_batch_size=windows.batch,
        overlap=windows.overlap,
        mode=windows.mode,
        sigma_scale=windows.sigma_scale,
        padding_mode=windows.padding_mode,
        cval=windows.cval,
        device="cpu",
    )


def _labels(model: SegmentationModel, image: MetaTensor, logits: torch.Tensor) -> torch.Tensor:
    """Logits (C, I, J, K) on the network's grid to labels (I', J', K') on the grid of what was given in."""
    rule = model.decision
    if rule.before is not None and rule.after is not None:
        labels = rule.after(_back(model, image, rule.before(logits), nearest=not rule.scores_go_back))
    elif rule.scores_go_back:
        scores = logits.softmax(0) if rule.rule == ARGMAX else logits.sigmoid()
        labels = _decided(rule, _back(model, image, scores, nearest=False))[None]
    else:
        scores = logits if rule.rule == ARGMAX else logits.sigmoid()
        labels = _back(model, image, _decided(rule, scores)[None], nearest=True)
    labels = labels[0] if labels.ndim == 4 and len(labels) == 1 else labels
    if labels.ndim != 3:
        raise PipelineError(f"{model.name}: the postprocessing gives {len(labels)} maps, not one; write a recipe")
    return labels.as_tensor() if isinstance(labels, MetaTensor) else labels


def _decided(rule: Decision, scores: torch.Tensor) -> torch.Tensor:
    """Scores (C, I, J, K) to labels (I, J, K)."""
    if rule.rule != PAINT:
        return scores.argmax(0).float()
    labels = torch.zeros(scores.shape[1:])
    for channel, value in rule.paint:
        labels[scores[channel] >= rule.threshold] = value
    return labels


def _back(model: SegmentationModel, image: MetaTensor, pred: torch.Tensor, *, nearest: bool) -> torch.Tensor:
    """`pred` (C, I, J, K) with the preprocessing undone: MONAI's own inversion."""
    invert = Invertd("pred", transform=model.preprocess, orig_keys=model.key, nearest_interp=nearest, to_tensor=True)
    result: torch.Tensor = invert({"pred": MetaTensor(pred), model.key: image})["pred"]
    return result


class _Step(torch.nn.Module):
    """The network for one batch of windows: autocast in, float32 out, windows counted."""

    def __init__(self, network: torch.nn.Module, device: Device, progress: Progress) -> None:
        super().__init__()
        self.network = network.to(device.device)
        self.device, self.progress, self.done = device, progress, 0

    def forward(self, windows: torch.Tensor) -> object:
        with self.device.autocast:
            output = self.network(windows)
        self.done += len(windows)
        self.progress("network", self.done, self.done)
        return _as_float(output)


def _as_float(output: object) -> object:
    if isinstance(output, torch.Tensor):
        return output.float()
    if isinstance(output, dict):
        return {key: _as_float(value) for key, value in output.items()}
    if isinstance(output, (list, tuple)):
        return [_as_float(value) for value in output]
    return output
