"""Weighted boxes fusion, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.inference.boxes import Detected
from medimg.inference.fuse import fused, overlaps


def detected(*rows, labels=None):
    boxes = np.array([row[:6] for row in rows], np.float32).reshape(-1, 6)
    scores = np.array([row[6] for row in rows], np.float32)
    return Detected(boxes, scores, np.array(labels or [0] * len(rows), np.int64))


def test_overlaps_of_cubes():
    boxes = np.array([[0, 0, 0, 2, 2, 2], [1, 0, 0, 3, 2, 2], [5, 5, 5, 6, 6, 6]], np.float32)
    assert overlaps(boxes, boxes[0]).tolist() == pytest.approx([1, 4 / 12, 0])


def test_two_that_agree_are_one_box_weighted_by_score():
    found = fused([detected((0, 0, 0, 8, 8, 8, 0.9)), detected((2, 0, 0, 10, 8, 8, 0.3))], 0.5, 0.05, 10)
    assert len(found) == 1
    assert found.boxes[0].tolist() == pytest.approx([0.5, 0, 0, 8.5, 8, 8])
    assert found.scores[0] == pytest.approx(0.6)


def test_what_only_one_of_two_sees_counts_half():
    found = fused([detected((0, 0, 0, 8, 8, 8, 0.9)), detected((20, 20, 20, 28, 28, 28, 0.4))], 0.5, 0.05, 10)
    assert found.scores.tolist() == pytest.approx([0.45, 0.2])
    assert len(fused([detected((0, 0, 0, 8, 8, 8, 0.9)), detected()], 0.5, 0.5, 10)) == 0


def test_classes_are_kept_apart_and_no_more_than_wanted_are_told():
    both = [detected((0, 0, 0, 8, 8, 8, 0.9)), detected((0, 0, 0, 8, 8, 8, 0.8), labels=[1])]
    assert sorted(fused(both, 0.5, 0.05, 10).labels.tolist()) == [0, 1]
    assert fused(both, 0.5, 0.05, 1).labels.tolist() == [0]


def test_nothing_and_nothing_is_nothing():
    assert len(fused([detected(), detected()], 0.5, 0.05, 10)) == 0
