"""A described model's answer to a scan: labels on its own grid, or boxes.

In float32 it is MONAI's answer to the same model (tests/unit/inference/test_bundle_parity.py), except that windows
outside the body are not run, and under --fast.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from monai.data import MetaTensor
from monai.data.box_utils import box_iou
from monai.transforms import Invertd
from numpy.typing import NDArray

from medimg.errors import PipelineError
from medimg.inference.boxes import DecodeBoxes, Detected
from medimg.inference.chain import preprocessed
from medimg.inference.device import Device
from medimg.inference.engine import predict
from medimg.inference.fuse import fused
from medimg.inference.inside import answer_inside, decided_at_once, label_map
from medimg.inference.model import ARGMAX, PAINT, Boxes, Decision, DetectionModel, SegmentationModel
from medimg.inference.narrow import lung_box
from medimg.inference.network import Network
from medimg.inference.options import Engine
from medimg.inference.plan import Windows, whole
from medimg.inference.prepare import stacked
from medimg.inference.resample import labels_on_grid
from medimg.progress import Progress, silent
from medimg.study import Volume

FAST_PATCH = (192, 192, 80)
"""Windows of a detector under --fast: what the model zoo's detector was trained on, whose statistics its norms know."""


def segment_labels(
    model: SegmentationModel,
    volumes: Sequence[Volume],
    device: Device,
    progress: Progress = silent,
    engine: Engine | None = None,
    members: Sequence[SegmentationModel] = (),
) -> NDArray[np.uint8]:
    """Label map (I, J, K) of the volumes (channel order, one grid) on the grid of the first.

    members: further models of an ensemble, which differ from `model` in nothing but the network; the mean of their
    probabilities is decided on. Raises PipelineError when a network does not give what its recipe says.
    """
    with _others_warnings_ignored():
        labels, turned = _decided_labels([model, *members], volumes, device, progress, engine or Engine())
    if not torch.equal(labels, labels.round()):
        raise PipelineError(f"{model.name}: the postprocessing gives fractions, not labels; write a recipe")
    array = label_map(labels.cpu().numpy(), model.name)
    source = volumes[0]
    return labels_on_grid(array, turned.affine_ras, source.shape, source.affine_ras)


def _decided_labels(
    models: Sequence[SegmentationModel], volumes: Sequence[Volume], device: Device, progress: Progress, engine: Engine
) -> tuple[torch.Tensor, Volume]:
    """Labels on the grid of the first volume as it was turned for the network, and that volume."""
    model = models[0]
    image, turned = _input(model, volumes, device)
    values, affine = _plain(image)
    networks = [network_of(member) for member in models]
    answer = answer_inside(
        networks, values, affine, volumes[0], model.windows, model.decision, device, progress, engine
    )
    return _labels(model, image, torch.from_numpy(answer), decided=decided_at_once(model.decision)), turned


def find_boxes(
    model: DetectionModel,
    volume: Volume,
    device: Device,
    progress: Progress = silent,
    engine: Engine | None = None,
    members: Sequence[DetectionModel] = (),
) -> Boxes:
    """The model's detections in the volume, most probable first. Under --fast only inside the box of the lungs.

    members: further models of an ensemble, which differ from `model` in nothing but the network; their boxes are fused.
    """
    engine = engine or Engine()
    with _others_warnings_ignored():
        image, _ = _input(model, [volume], device)
        values, affine = _plain(image)
        box = lung_box(volume, values.shape[1:], affine) if engine.fast else None
        start, stop = box or ((0, 0, 0), values.shape[1:])
        part = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        windows = _detector_windows(model, values[0].size, engine)
        decision = _decoding(model)
        answers: list[Detected] = [
            predict([network_of(each)], values[whole(part)], windows, decision, device, progress, engine=engine)
            for each in (model, *members)
        ]
    found = fused(answers, decision.overlap, decision.score, decision.most) if members else answers[0]
    voxels = found.boxes + np.array([*start, *start], np.float32)
    return Boxes(voxels=voxels, scores=found.scores, labels=found.labels, affine_ras=affine)


def network_of(model: SegmentationModel | DetectionModel) -> Network:
    """The model's network as the engine takes it."""
    return Network(lambda: model.network, model.digest, model.name)


def _detector_windows(model: DetectionModel, voxels: int, engine: Engine) -> Windows:
    """The detector's own windows, one as large as the image where it takes such, or patches under --fast."""
    size = FAST_PATCH if engine.fast else (-1, -1, -1) if voxels < model.whole_below else model.windows.size
    return replace(model.windows, size=size, multiple=model.size_divisible)


def _plain(image: MetaTensor) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The values (C, I, J, K) without what MONAI remembers of them, and their RAS affine."""
    return image.as_tensor().float().cpu().numpy(), np.asarray(image.affine, dtype=np.float64)


def _decoding(model: DetectionModel) -> DecodeBoxes:
    """MONAI's components as plain numbers. Raises PipelineError for what they can do and medimg does not."""
    selector = model.selector
    if not selector.apply_sigmoid or selector.box_overlap_metric is not box_iou:
        raise PipelineError(f"{model.name}: boxes are selected by other scores or overlaps than MONAI's")
    return DecodeBoxes(
        anchors=tuple(corners.float().numpy() for corners in model.anchors.cell_anchors),
        score=selector.score_thresh,
        per_level=selector.topk_candidates_per_level,
        overlap=selector.nms_thresh,
        most=selector.detections_per_img,
        weights=tuple(float(weight) for weight in model.coder.weights),
        max_log_growth=float(model.coder.boxes_xform_clip),
    )


@contextmanager
def _others_warnings_ignored() -> Iterator[None]:
    """MONAI's and numpy's, of code that is not ours: a transform without an inverse, arguments of the bundle's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _input(
    model: SegmentationModel | DetectionModel, volumes: Sequence[Volume], device: Device
) -> tuple[MetaTensor, Volume]:
    """The network's input (C, I, J, K), and the first volume as it was turned for it."""
    turned = [volume if model.orientation is None else volume.turned(model.orientation) for volume in volumes]
    data = {model.key: stacked(turned)}
    # float32 is for those who want MONAI's numbers to the last digit
    exact = device.precision == "fp32"
    image = (model.preprocess(data) if exact else preprocessed(model.preprocess, data))[model.key]
    return image, turned[0]


def _labels(model: SegmentationModel, image: MetaTensor, logits: torch.Tensor, *, decided: bool) -> torch.Tensor:
    """Logits (C, I, J, K), or labels (I, J, K), on the network's grid to labels on the grid of what was given in."""
    rule = model.decision
    if decided:
        labels = _back(model, image, logits[None].float(), nearest=True)
    elif rule.before is not None and rule.after is not None:
        labels = rule.after(_back(model, image, rule.before(logits), nearest=not rule.scores_go_back))
    elif rule.scores_go_back:
        scores = logits.softmax(0) if rule.rule == ARGMAX else logits.sigmoid()
        labels = _decided(rule, _back(model, image, scores, nearest=False))[None]
    else:
        raise PipelineError(f"{model.name}: no rule says what the outputs mean; write a recipe")
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
