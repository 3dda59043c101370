"""Boxes of several detectors become one list: weighted boxes fusion.

Solovyev, Wang, Gabruseva: Weighted boxes fusion, Image and Vision Computing 107 (2021), section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medimg.inference.boxes import Detected, joined

Floats = NDArray[np.float32]


def fused(answers: Sequence[Detected], overlap: float, score: float, most: int) -> Detected:
    """The mean boxes of what several detectors say, most probable first.

    Boxes of one class with an IoU above `overlap` are one object: its corners are the mean of theirs weighted by score,
    its score the sum of theirs divided by the number of detectors (or by the number of boxes, where there are more).
    Those of at least `score` are kept, `most` of them.
    """
    every = joined(answers)
    every = every.at(np.argsort(-every.scores, kind="stable"))
    boxes, labels = np.empty((0, 6), np.float32), np.empty(0, np.int64)
    groups: list[list[int]] = []
    for index, box in enumerate(every.boxes):
        shared = np.where(labels == every.labels[index], overlaps(boxes, box), -1.0)
        best = int(np.argmax(shared)) if groups else -1
        if best >= 0 and shared[best] > overlap:
            groups[best].append(index)
            boxes[best] = np.average(every.boxes[groups[best]], axis=0, weights=every.scores[groups[best]])
        else:
            groups.append([index])
            boxes, labels = np.concatenate([boxes, box[None]]), np.append(labels, every.labels[index])
    sums = [float(every.scores[group].sum()) / max(len(group), len(answers)) for group in groups]
    scores = np.array(sums, np.float32)
    kept = np.argsort(-scores, kind="stable")
    return Detected(boxes, scores, labels).at(kept[scores[kept] >= np.float32(score)][:most])


def overlaps(boxes: Floats, box: Floats) -> NDArray[np.float64]:
    """IoU of boxes (N, 6) with one (6,): corners (i0, j0, k0, i1, j1, k1)."""
    common = np.minimum(boxes[:, 3:], box[3:]) - np.maximum(boxes[:, :3], box[:3])
    shared = np.prod(np.clip(common, 0, None), axis=1, dtype=np.float64)
    volume = np.prod(boxes[:, 3:] - boxes[:, :3], axis=1, dtype=np.float64) + np.prod(box[3:] - box[:3])
    return np.asarray(shared / (volume - shared))
