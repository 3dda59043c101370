"""Average precision and recall of boxes against MONAI's COCOMetric."""

from __future__ import annotations

import numpy as np
import pytest
from monai.apps.detection.metrics.coco import COCOMetric
from monai.apps.detection.metrics.matching import matching_batch
from monai.data.box_utils import box_iou

from medimg.evaluate import coco
from medimg.evaluate.bootstrap import draw_counts

TRUTHS = (0, 1, 2, 3, 4, 3)
"""Of each scan. Thirteen in all: no recall but 0 and 1 is a hundredth, where MONAI's float32 falls just short."""


def random_scans(seed, scores=20):
    """Truths and boxes that often overlap; few scores make ties."""
    rng = np.random.default_rng(seed)
    made = []
    for count in TRUTHS:
        truth = coco.cube(rng.uniform(0, 60, (count, 3)), rng.uniform(5, 20, count))
        near = truth[rng.integers(0, count, 6)] + rng.uniform(-2, 2, (6, 6)) if count else np.empty((0, 6))
        far = coco.cube(rng.uniform(0, 60, (4, 3)), np.full(4, 8.0))
        boxes = np.concatenate([near, far])
        made.append((truth, boxes, rng.integers(0, scores, len(boxes)) / scores))
    return made


def by_monai(scans):
    """mAP, mAR and the AP at the lowest overlap."""
    metric = COCOMetric(classes=["nodule"], iou_list=[0.1], iou_range=(0.1, 0.5, 0.05), max_detection=[100])
    zeros = [np.zeros(len(boxes), int) for _, boxes, _ in scans], [np.zeros(len(truth), int) for truth, _, _ in scans]
    matched = matching_batch(
        iou_fn=box_iou,
        iou_thresholds=metric.iou_thresholds,
        pred_boxes=[boxes for _, boxes, _ in scans],
        pred_classes=zeros[0],
        pred_scores=[score for _, _, score in scans],
        gt_boxes=[truth for truth, _, _ in scans],
        gt_classes=zeros[1],
    )
    values = metric(matched)[0]
    return [next(v for k, v in values.items() if k.startswith(name)) for name in ("mAP_IoU", "mAR_IoU", "AP_IoU_0.10")]


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_monai_computes(seed):
    scans = random_scans(seed)
    matched = [coco.match_scan(*scan) for scan in scans]
    (precision,), (recall,) = coco.average_precision(matched), coco.average_recall(matched)
    np.testing.assert_allclose([precision.mean(), recall.mean(), precision[0]], by_monai(scans), atol=1e-7)


def test_drawn_counts_are_scans_copied():
    scans = [coco.match_scan(*scan) for scan in random_scans(3, scores=1 << 30)]
    counts = draw_counts(len(scans), 20, seed=0)
    drawn = coco.average_precision(scans, counts), coco.average_recall(scans, counts)
    for row, often in enumerate(counts):
        copies = [scan for scan, n in zip(scans, often, strict=True) for _ in range(n)]
        np.testing.assert_allclose(drawn[0][row], coco.average_precision(copies)[0])
        np.testing.assert_allclose(drawn[1][row], coco.average_recall(copies)[0])


def test_iou_is_that_of_monai():
    rng = np.random.default_rng(0)
    a, b = (coco.cube(rng.uniform(0, 20, (30, 3)), rng.uniform(4, 12, 30)) for _ in range(2))
    np.testing.assert_allclose(coco.iou(a, b), box_iou(a, b), atol=1e-6)


def test_without_a_truth_nothing_is_defined():
    scan = coco.match_scan(np.empty((0, 6)), np.array([[0, 0, 0, 1, 1, 1.0]]), np.array([0.5]))
    assert np.isnan(coco.average_precision([scan])).all()
    assert np.isnan(coco.average_recall([scan])).all()


def test_without_a_box_nothing_is_found():
    scan = coco.match_scan(np.array([[0, 0, 0, 1, 1, 1.0]]), np.empty((0, 6)), np.empty(0))
    assert coco.average_precision([scan]).tolist() == [[0.0] * 9]
    assert coco.average_recall([scan]).tolist() == [[0.0] * 9]
