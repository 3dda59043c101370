"""A RetinaNet's outputs become boxes: the best anchors of each piece decoded, one suppression for the whole image.

The same answer as MONAI's RetinaNetDetector with the same windows, which stitches whole maps and decodes every anchor
(monai.apps.detection: AnchorGenerator, BoxCoder, BoxSelector). Arithmetic in float32, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medimg.errors import PipelineError
from medimg.inference.arrays import Array, sigmoid, to_numpy
from medimg.inference.plan import Triple
from medimg.inference.stitch import OutputGrid

Floats = NDArray[np.float32]

MAX_LOG_GROWTH = 4.135166556742356
"""log(1000 / 16): a box's side is never more than 62.5 times its anchor's (BoxCoder's boxes_xform_clip)."""


@dataclass(frozen=True)
class Detected:
    """Most probable first. boxes: (N, 6) corners (i0, j0, k0, i1, j1, k1) in input voxels; scores, labels: (N,)."""

    boxes: Floats
    scores: Floats
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def at(self, index: NDArray[np.int64]) -> Detected:
        """Those that an index array picks."""
        return Detected(self.boxes[index], self.scores[index], self.labels[index])


@dataclass(frozen=True)
class DecodeBoxes:
    """What a RetinaNet's levels mean: outputs are L maps of class logits, then L maps of box regressions.

    anchors: for each level, (A, 6) corners of its anchors around 0, in voxels. weights: of the six codes (BoxCoder).
    score: smallest probability. per_level: most candidates of a level. overlap: IoU above which the weaker of two
    boxes of one class goes. most: boxes reported.
    """

    anchors: tuple[Floats, ...]
    score: float
    per_level: int
    overlap: float
    most: int
    weights: tuple[float, ...] = (1.0,) * 6
    max_log_growth: float = MAX_LOG_GROWTH
    mirrors: ClassVar[bool] = False

    def bytes_a_voxel(self, _channels: int) -> int:
        """Nearly none."""
        return 0

    def open(self, grids: Sequence[OutputGrid]) -> BoxCollector:
        """2 L outputs. Raises PipelineError when there are others."""
        levels = len(self.anchors)
        wrong = len(grids) != 2 * levels or any(
            regressions.channels != 6 * len(anchors) or logits.channels % len(anchors)
            for logits, regressions, anchors in zip(grids[:levels], grids[levels:], self.anchors, strict=True)
        )
        if wrong:
            given = ", ".join(str(grid.channels) for grid in grids)
            raise PipelineError(
                f"the network gives outputs of {given} channels; for {levels} levels, class logits and six box numbers "
                f"for each of {', '.join(str(len(anchors)) for anchors in self.anchors)} anchors are needed"
            )
        return BoxCollector(self, grids)


@dataclass
class _Candidates:
    """Survivors of one piece of one level: cells (N, 3) on the level's grid, anchor, label, score (N,)."""

    cells: NDArray[np.int64]
    anchor: NDArray[np.int64]
    label: NDArray[np.int64]
    score: Floats


@dataclass
class BoxCollector:
    """Keeps the best anchors of each level, decoded."""

    wanted: DecodeBoxes
    grids: Sequence[OutputGrid]
    _waiting: dict[tuple[int, Triple], _Candidates] = field(default_factory=dict)
    _found: dict[int, Detected] = field(default_factory=dict)

    def take(self, output: int, logits: Array, start: Triple) -> None:
        """Class logits first, then the regressions of the same cells."""
        levels = len(self.wanted.anchors)
        if output < levels:
            candidates = self._best(output, logits, start)
            if len(candidates.score):
                self._waiting[output, start] = candidates
        elif candidates_there := self._waiting.pop((output - levels, start), None):
            self._keep(output - levels, self._decoded(output - levels, candidates_there, logits, start))

    def result(self) -> Detected:
        """After clipping to the image, suppression over all levels, and the cut at `most`."""
        found = joined([self._found[level] for level in sorted(self._found)])
        found = clipped(found, self.grids[0].image)
        return found.at(suppressed(found, self.wanted.overlap)[: self.wanted.most])

    def _best(self, level: int, logits: Array, start: Triple) -> _Candidates:
        """At most `per_level` anchors of the piece that reach `score`; cells beyond the image are left out."""
        anchors = len(self.wanted.anchors[level])
        classes = int(logits.shape[0]) // anchors
        scores = to_numpy(sigmoid(logits))
        survivors = np.nonzero(scores > np.float32(self.wanted.score))
        channel, *cell = survivors
        cells = np.stack(cell, axis=1) + np.array(start)
        score = scores[survivors]
        there = ((cells >= 0) & (cells < self.grids[level].inner)).all(axis=1)
        order = np.flatnonzero(there)
        order = order[np.argsort(-score[order], kind="stable")[: self.wanted.per_level]]
        # channels run anchor by anchor, classes within (RetinaNet's view (A, classes, i, j, k))
        return _Candidates(cells[order], channel[order] // classes, channel[order] % classes, score[order])

    def _decoded(self, level: int, found: _Candidates, regressions: Array, start: Triple) -> Detected:
        """Corners from anchors and codes: centre + code * side, side * exp(code) (BoxCoder.decode_single)."""
        maps = to_numpy(regressions)
        i, j, k = (found.cells - np.array(start)).T
        codes = np.stack([maps[found.anchor * 6 + code, i, j, k] for code in range(6)], axis=1)
        codes = (codes / np.array(self.wanted.weights, np.float32)).astype(np.float32)
        # not the output's own stride: MONAI divides the image's size by the map's, which an odd padding can lengthen
        stride = np.array(self.grids[level].padded) // np.array(self.grids[level].inner)
        shift = (found.cells * stride + stride // 2).astype(np.float32)
        anchor = np.asarray(self.wanted.anchors[level], np.float32)[found.anchor]
        low, high = shift + anchor[:, :3], shift + anchor[:, 3:]
        side, centre = high - low, (low + high) / 2
        centre = codes[:, :3] * side + centre
        half = np.float32(0.5) * np.exp(np.minimum(codes[:, 3:], np.float32(self.wanted.max_log_growth))) * side
        return Detected(np.concatenate([centre - half, centre + half], axis=1), found.score, found.label)

    def _keep(self, level: int, found: Detected) -> None:
        both = joined([self._found[level], found]) if level in self._found else found
        best = np.argsort(-both.scores, kind="stable")[: self.wanted.per_level]
        self._found[level] = both.at(best)


def clipped(found: Detected, shape: Sequence[int]) -> Detected:
    """Boxes cut to an image of `shape` voxels; those with nothing left are dropped (clip_boxes_to_image)."""
    boxes = np.clip(found.boxes, 0, np.array([*shape, *shape], np.float32)).astype(np.float32)
    kept = np.flatnonzero((boxes[:, 3:] >= boxes[:, :3] + 1).all(axis=1))
    return Detected(boxes, found.scores, found.labels).at(kept)


def suppressed(found: Detected, overlap: float) -> NDArray[np.int64]:
    """Indices that stay, most probable first: no box with an IoU above `overlap` with a better one of its class."""
    order = np.argsort(-found.scores, kind="stable")
    boxes, labels = found.boxes[order], found.labels[order]
    volume = np.prod(boxes[:, 3:] - boxes[:, :3], axis=1)
    left, kept = np.arange(len(order)), []
    while len(left):
        first, rest = left[0], left[1:]
        kept.append(first)
        common = np.minimum(boxes[rest, 3:], boxes[first, 3:]) - np.maximum(boxes[rest, :3], boxes[first, :3])
        shared = np.prod(np.clip(common, 0, None), axis=1)
        iou = shared / (volume[rest] + volume[first] - shared + np.finfo(np.float32).eps)
        left = rest[(iou <= overlap) | (labels[rest] != labels[first])]
    return np.asarray(order[np.array(kept, np.int64)])


def joined(parts: Sequence[Detected]) -> Detected:
    """All of them, one after the other."""
    if not parts:
        return Detected(np.empty((0, 6), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
    return Detected(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )
