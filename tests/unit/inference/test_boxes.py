"""Boxes decoded piece by piece are those of MONAI's RetinaNetDetector with the same windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
from monai.apps.detection.utils.anchor_utils import AnchorGeneratorWithAnchorShape
from torch import nn

from medimg.errors import PipelineError
from medimg.inference.boxes import DecodeBoxes, Detected, suppressed
from medimg.inference.device import Device
from medimg.inference.engine import predict
from medimg.inference.network import Network
from medimg.inference.plan import Windows

SHAPES, SCALES = ((6, 8, 4), (8, 6, 5), (10, 10, 6)), (1, 2)
DIVISIBLE = (8, 8, 4)


class TwoLevels(nn.Module):
    """What RetinaNetDetector asks of a network: strides (4, 4, 2) and (8, 8, 4), three anchors, two classes."""

    spatial_dims, num_classes, num_anchors, size_divisible = 3, 2, 3, DIVISIBLE
    cls_key, box_reg_key = "classification", "box_regression"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Conv3d(1, 8, (4, 4, 2), stride=(4, 4, 2))
        self.second = nn.Conv3d(8, 8, 2, stride=2)
        # statistics of the window, as the heads of MONAI's RetinaNet have them
        self.norm = nn.GroupNorm(2, 8)
        self.heads = nn.ModuleDict({"cls": nn.Conv3d(8, 6, 3, padding=1), "box": nn.Conv3d(8, 18, 3, padding=1)})

    def forward(self, image):
        fine = self.first(image).relu()
        levels = [self.norm(level) for level in (fine, self.second(fine))]
        classes, boxes = ([head(level) for level in levels] for head in self.heads.values())
        return {self.cls_key: classes, self.box_reg_key: boxes}


def detector(net, windows, score=0.6, per_level=200, most=50):
    anchors = AnchorGeneratorWithAnchorShape(feature_map_scales=SCALES, base_anchor_shapes=SHAPES)
    peer = RetinaNetDetector(network=net, anchor_generator=anchors, debug=False)
    peer.set_target_keys(box_key="box", label_key="label")
    peer.set_box_selector_parameters(
        score_thresh=score, topk_candidates_per_level=per_level, nms_thresh=0.22, detections_per_img=most
    )
    peer.set_sliding_window_inferer(roi_size=windows.size, overlap=windows.overlap, mode=windows.mode, sw_batch_size=1)
    corners = tuple(cell.numpy() for cell in anchors.cell_anchors)
    return peer.eval(), DecodeBoxes(corners, score, per_level, 0.22, most)


CASES = [
    ((64, 48, 40), Windows((32, 32, 16), (0.25,) * 3, multiple=DIVISIBLE)),
    ((61, 45, 37), Windows((32, 32, 16), (0.5,) * 3, multiple=DIVISIBLE)),
    ((30, 45, 11), Windows((32, 32, 32), (0.25,) * 3, multiple=DIVISIBLE)),
]


# MONAI 1.6.1 hands torch integers to numpy
@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
@pytest.mark.parametrize(("shape", "windows"), CASES)
def test_boxes_scores_and_classes_are_those_of_the_detector(shape, windows):
    net = TwoLevels().eval()
    image = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    peer, decision = detector(net, windows)
    with torch.no_grad():
        (expected,) = peer([image], use_inferer=True)
    found = predict([Network(lambda: net)], image.numpy(), windows, decision, Device("cpu", "fp32", ""))
    assert len(found) == len(expected["label_scores"]) > 20
    assert np.allclose(found.scores, expected["label_scores"], atol=1e-4)
    assert np.allclose(found.boxes, expected["box"], atol=1e-3)
    assert np.array_equal(found.labels, expected["label"])


def test_boxes_in_half_precision_lie_within_a_millimetre():
    net, windows = TwoLevels().eval(), Windows((32, 32, 16), (0.25,) * 3, multiple=DIVISIBLE)
    with torch.no_grad():
        # boxes that are about their anchors, as training makes them
        net.heads["box"].weight.mul_(0.2)
    image = torch.randn(1, 64, 48, 40, generator=torch.Generator().manual_seed(0)).numpy()
    _, decision = detector(net, windows, score=0.1, most=10_000)
    loose = DecodeBoxes(decision.anchors, 0.05, 10_000, 1.0, 10_000)
    single, half = (
        predict([Network(lambda: net)], image, windows, loose, Device("cpu", precision, ""))
        for precision in ("fp32", "bf16")
    )
    strong = single.at(np.arange(500))
    assert strong.scores.min() >= 0.1
    distance = [np.abs(half.boxes - box).max(axis=1).min() for box in strong.boxes]
    assert max(distance) < 1


def test_the_weaker_of_two_overlapping_boxes_of_one_class_goes():
    boxes = np.array([[0, 0, 0, 10, 10, 10], [1, 0, 0, 11, 10, 10], [0, 0, 0, 10, 10, 10], [30, 0, 0, 40, 10, 10]])
    found = Detected(boxes.astype(np.float32), np.array([0.5, 0.9, 0.4, 0.3], np.float32), np.array([0, 0, 1, 0]))
    assert suppressed(found, 0.22).tolist() == [1, 2, 3]


def test_a_network_with_other_outputs_is_refused():
    net = nn.Conv3d(1, 6, 1).eval()
    _, decision = detector(TwoLevels(), Windows((16, 16, 16)))
    with pytest.raises(PipelineError, match="for 2 levels"):
        predict(
            [Network(lambda: net)],
            np.zeros((1, 16, 16, 16), np.float32),
            Windows((16, 16, 16)),
            decision,
            Device("cpu", "fp32", ""),
        )
