"""From a bundle and its recipe to the typed description that the engine runs."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
from monai.inferers import SimpleInferer, SlidingWindowInferer, SlidingWindowInfererAdapt
from monai.transforms import Compose, MapTransform

from medimg.bundle import Bundle, load_weights
from medimg.bundles.closure import follow, is_detection
from medimg.bundles.recipe import Recipe
from medimg.errors import PipelineError
from medimg.inference.describe_decision import decision
from medimg.inference.model import DetectionModel, SegmentationModel
from medimg.inference.plan import Windows
from medimg.inference.prepare import model_digest

INFERERS = (SlidingWindowInferer, SlidingWindowInfererAdapt, SimpleInferer)
"""Those whose answer medimg gives."""

WHOLE = Windows(size=(-1, -1, -1), overlap=(0.0, 0.0, 0.0))
"""One window as large as the image."""


def described(bundle: Bundle, recipe: Recipe) -> SegmentationModel | DetectionModel:
    """The model of a trusted bundle, built, with its weights. Raises PipelineError for what medimg cannot run."""
    return _detection(bundle, recipe) if is_detection(bundle.config) else _segmentation(bundle, recipe)


def _segmentation(bundle: Bundle, recipe: Recipe) -> SegmentationModel:
    preprocess = bundle.preprocessing
    inferer = bundle.content("inferer")
    if type(inferer) not in INFERERS:  # a subclass does something else: slices, for instance
        raise PipelineError(f"{bundle.where}: inferer {type(inferer).__name__} is neither sliding windows nor simple")
    return SegmentationModel(
        name=recipe.name,
        network=bundle.trained_network(),
        preprocess=preprocess,
        windows=Windows.of(inferer) if isinstance(inferer, SlidingWindowInferer) else WHOLE,
        decision=decision(bundle, recipe),
        channels=len(recipe.inputs),
        digest=model_digest(bundle),
        orientation=orientation(bundle, recipe),
        key=_key(bundle, preprocess),
    )


def _detection(bundle: Bundle, recipe: Recipe) -> DetectionModel:
    keys = [key for key in ("detector", "detector_ops") if key in bundle.parser]
    detector = bundle.content(*keys)
    if not isinstance(detector, RetinaNetDetector):
        raise PipelineError(f"{bundle.where}: detector {type(detector).__name__} is no RetinaNetDetector")
    load_weights(detector.network, bundle.weights)
    windows = WHOLE if detector.inferer is None else Windows.of(detector.inferer)
    classes = recipe.classes or tuple(f"class {number}" for number in range(detector.num_classes))
    if len(classes) != detector.num_classes:
        raise PipelineError(f"the detector has {detector.num_classes} classes, its recipe names {len(classes)}")
    return DetectionModel(
        name=recipe.name,
        network=detector.network.eval(),
        preprocess=bundle.preprocessing,
        windows=windows,
        anchors=detector.anchor_generator,
        coder=detector.box_coder,
        selector=detector.box_selector,
        size_divisible=_triple(detector.size_divisible, int),
        classes=classes,
        digest=model_digest(bundle),
        whole_below=_whole_below(bundle, windows),
        orientation=orientation(bundle, recipe),
        key=_key(bundle, bundle.preprocessing),
    )


def orientation(bundle: Bundle, recipe: Recipe) -> str | None:
    """Axis codes to turn a scan to first; None where the bundle turns it itself. Raises PipelineError if unknown."""
    if recipe.orientation is not None:
        return recipe.orientation
    names = {type(transform).__name__ for transform in bundle.preprocessing.transforms}
    if names & {"Orientationd", "Orientation"}:
        return None
    raise PipelineError(
        f"{bundle.where}: the preprocessing does not turn the scan (no Orientationd), so the orientation that the "
        "network expects is unknown; say it in a recipe (orientation: RAS or LPS; docs/bundles.md)"
    )


def _whole_below(bundle: Bundle, windows: Windows) -> int:
    """MONAI's RetinaNetInferer: an image of fewer voxels than a window goes through in one piece, unless forced."""
    if windows is WHOLE:
        return sys.maxsize
    inferer: Any = follow(bundle.config, bundle.config.get("inferer", {}))
    forced = inferer.get("force_sliding_window", False) if isinstance(inferer, dict) else False
    return 0 if follow(bundle.config, forced) is True else math.prod(windows.size)


def _key(bundle: Bundle, chain: Compose) -> str:
    keys = {key for transform in chain.transforms if isinstance(transform, MapTransform) for key in transform.keys}
    if len(keys) > 1:
        raise PipelineError(f"{bundle.where}: the preprocessing works on {sorted(map(str, keys))}, not on one image")
    return str(next(iter(keys), "image"))


def _triple(value: Any, kind: type) -> Any:
    """One value an axis."""
    values = tuple(value) if isinstance(value, Sequence) else (value,) * 3
    return tuple(kind(entry) for entry in values)
