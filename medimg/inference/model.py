"""What surrounds a network so that it can answer a scan: the typed description that the engine runs.

`medimg.inference.describe` makes one from a bundle folder and its recipe; `medimg.inference.answer` runs it.
Nothing here computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medimg.inference.plan import Windows

if TYPE_CHECKING:
    import torch
    from monai.apps.detection.utils.anchor_utils import AnchorGenerator
    from monai.apps.detection.utils.box_coder import BoxCoder
    from monai.apps.detection.utils.box_selector import BoxSelector
    from monai.transforms import Compose

ARGMAX, PAINT, OWN = "argmax", "paint", "own"
"""Rules of a Decision."""


@dataclass(frozen=True)
class Decision:
    """How stitched logits (C, I, J, K) become one label map (I, J, K).

    rule "argmax": the channel with the highest logit, the lowest number among equals.
    rule "paint": `paint` holds (channel, value) pairs, painted in this order, later over earlier, where
    sigmoid(logit) >= `threshold`.
    rule "own": the bundle's own transforms; `before` takes the logits (C, I, J, K) float32 to what goes back to the
    source grid, `after` what came back there to labels (1, I, J, K).
    scores_go_back: the bundle brings its scores (softmax, sigmoid) back to the source grid by interpolation before it
    decides; else what goes back does so by nearest neighbour. Without resampling in the preprocessing both are the
    same, and it is false.
    """

    rule: str
    labels: Mapping[int, str]
    threshold: float = 0.5
    paint: tuple[tuple[int, int], ...] = ()
    before: Callable[[torch.Tensor], torch.Tensor] | None = None
    after: Callable[[torch.Tensor], torch.Tensor] | None = None
    scores_go_back: bool = False


@dataclass(frozen=True)
class SegmentationModel:
    """A segmentation network: eval mode, its weights loaded, float32 on the CPU.

    preprocess: the bundle's transforms on {key: MetaTensor (C, I, J, K) float32, RAS mm affine}, in memory.
    orientation: axis codes the volumes are turned to before `preprocess`, None where that turns them itself.
    channels: of the input. digest: SHA-256 of configuration and weights, a key for whatever is compiled or cached.
    """

    name: str
    network: torch.nn.Module
    preprocess: Compose
    windows: Windows
    decision: Decision
    channels: int
    digest: str
    orientation: str | None = None
    key: str = "image"


@dataclass(frozen=True)
class DetectionModel:
    """A RetinaNet: eval mode, its weights loaded, float32 on the CPU; the rest as in SegmentationModel.

    The network gives {"classification": [level (B, A * classes, i, j, k)], "box_regression": [(B, A * 6, i, j, k)]}.
    anchors, coder, selector: MONAI's own, set as the bundle sets them (score threshold, top-k a level, NMS, number of
    detections). size_divisible: the image is padded at its far ends to multiples of this. whole_below: voxels under
    which an image goes through the network in one piece instead of `windows` (MONAI's RetinaNetInferer), 0: never.
    classes: names of the detected classes, by number.
    """

    name: str
    network: torch.nn.Module
    preprocess: Compose
    windows: Windows
    anchors: AnchorGenerator
    coder: BoxCoder
    selector: BoxSelector
    size_divisible: tuple[int, int, int]
    classes: tuple[str, ...]
    digest: str
    whole_below: int = 0
    orientation: str | None = None
    key: str = "image"


@dataclass(frozen=True)
class Boxes:
    """Detections, most probable first, on a grid with `affine_ras` (4, 4), voxel index -> RAS mm.

    voxels: (N, 6) corners (i0, j0, k0, i1, j1, k1) on the network's input grid, as MONAI has them.
    scores, labels: (N,).
    """

    voxels: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    affine_ras: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
