"""Segmentation: the network's channels thresholded, painted into one label map, moved to the source grid."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit, logit

from medimg import geometry
from medimg.bundle import Bundle
from medimg.errors import PipelineError
from medimg.inference.device import Device
from medimg.inference.maps import logit_maps
from medimg.inference.options import Engine
from medimg.inference.prepare import network_input, trained
from medimg.inference.resample import labels_on_grid
from medimg.inference.roi import bounds
from medimg.progress import Progress, silent
from medimg.results import Segmentation
from medimg.study import Volume

OPTIONAL = (
    *("threshold", "min_volume_mm3", "min_confidence", "never_empty", "fill_holes", "needs", "without"),
    *("fill_rings", "brighter"),
)
"""Options of the infer stage that have a default."""

NAMING_CHANNELS = ("min_volume_mm3", "min_confidence", "never_empty", "fill_holes", "fill_rings", "needs", "brighter")
"""Those whose keys or entries are channels."""

NEAR = 3
"""Voxels along each axis over which intensities are averaged before they are compared: noise is no enhancement."""


LESS = "expect less than with all contrasts, see the model card"
"""What is said of a missing contrast where the pipeline does not say more."""


@dataclass(frozen=True)
class SegmentOptions:
    """How sigmoid channels become labels.

    channels: names in output order. labels: value -> name of the label map. paint: channel -> value, painted in
    this order, later over earlier (WT as oedema, TC as core, ET as enhancing). threshold: of the sigmoid, one for
    all or one a channel. min_volume_mm3: channel -> smallest component kept; smaller ones are not painted.
    min_confidence: channel -> smallest mean sigmoid of a component kept. never_empty: channels whose largest component
    is kept all the same.
    fill_holes: channels whose enclosed gaps belong to them. fill_rings: those to which belongs what they enclose in a
    slice along any axis of the network's grid, which holds the former (what a ring of enhancement encloses is tumour
    core, though the ring is open somewhere).
    needs: channel -> roles of the scans without which it cannot be seen. without: role, or several
    joined by "+" -> what is lost without them.
    brighter: channel -> (role, other role, by): it is only where the first scan, as the network sees it, is brighter
    than the second by so much (enhancing tumour: T1 with contrast agent against T1 without). Not asked where one is
    missing.
    """

    channels: tuple[str, ...]
    labels: Mapping[int, str]
    paint: Mapping[str, int]
    threshold: float | Mapping[str, float] = 0.5
    min_volume_mm3: Mapping[str, float] = field(default_factory=dict)
    min_confidence: Mapping[str, float] = field(default_factory=dict)
    never_empty: tuple[str, ...] = ()
    fill_holes: tuple[str, ...] = ()
    fill_rings: tuple[str, ...] = ()
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    without: Mapping[str, str] = field(default_factory=dict)
    brighter: Mapping[str, tuple[str, str, float]] = field(default_factory=dict)
    not_available: tuple[str, ...] = ()
    merged: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def from_stage(cls, options: Mapping[str, Any]) -> SegmentOptions:
        """From the `infer` stage of a pipeline. Raises PipelineError when options are missing or do not fit."""
        known = {key: options[key] for key in OPTIONAL if key in options}
        try:
            labels = {int(value): str(name) for value, name in options["labels"].items()}
            made = cls(tuple(options["channels"]), labels, dict(options["paint"]), **known)
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise PipelineError(
                f"infer stage: channels, labels and paint are needed for segmentation ({error})"
            ) from error
        named = {*made.paint, *(channel for key in NAMING_CHANNELS for channel in getattr(made, key))}
        strangers = named - set(made.channels)
        if strangers or not set(made.paint.values()) <= set(labels):
            raise PipelineError(f"infer stage: paint names unknown channels or labels ({sorted(strangers)})")
        if not all(0 < made.threshold_of(channel) < 1 for channel in made.channels):
            raise PipelineError("infer stage: a threshold is a probability, between 0 and 1")
        return made

    def seen_with(self, roles: Collection[str]) -> SegmentOptions:
        """What can be told from scans of these roles: channels that need others are not painted.

        Their values join the one painted before them, which holds the region they are part of.
        Raises PipelineError when no channel is left.
        """
        there = set(roles)
        compared = {channel: rule for channel, rule in self.brighter.items() if {rule[0], rule[1]} <= there}
        hidden = {channel for channel, needed in self.needs.items() if not set(needed) <= there}
        if not hidden & set(self.paint):
            return replace(self, brighter=compared)
        merged: dict[int, tuple[int, ...]] = {}
        last: int | None = None
        for channel, value in self.paint.items():
            if channel not in hidden:
                last = value
            if last is None:
                raise PipelineError(f"infer stage: {channel} is painted first, so it cannot depend on {self.needs}")
            merged[last] = (*merged.get(last, ()), value)
        return replace(
            self,
            brighter=compared,
            paint={channel: value for channel, value in self.paint.items() if channel not in hidden},
            labels={value: " / ".join(self.labels[part] for part in parts) for value, parts in merged.items()},
            not_available=tuple(channel for channel in self.paint if channel in hidden),
            merged={value: parts for value, parts in merged.items() if len(parts) > 1},
        )

    def losses(self, absent: Collection[str]) -> list[str]:
        """What is to be said of the roles that are not there: together where `without` knows them together.

        The entry that covers most of them counts first: what each costs alone does not say what all cost.
        """
        told = {frozenset(key.split("+")): sentence for key, sentence in self.without.items()}
        left, said = list(absent), []
        while left:
            known = max((roles for roles in told if roles <= set(left)), key=len, default=frozenset(left[:1]))
            names = [role for role in left if role in known]
            said.append(f"without {', '.join(names)}: {told.get(known, LESS)}")
            left = [role for role in left if role not in known]
        return said

    def threshold_of(self, channel: str) -> float:
        """The sigmoid threshold of one channel."""
        return self.threshold if isinstance(self.threshold, (int, float)) else float(self.threshold.get(channel, 0.5))


def segment(
    bundle: Bundle,
    volumes: Sequence[Volume],
    roles: Sequence[str],
    options: SegmentOptions,
    device: Device,
    progress: Progress = silent,
    engine: Engine | None = None,
) -> Segmentation:
    """Label map of the volumes (one a role, in channel order, on one grid) on their own grid."""
    image, affine = network_input(bundle, volumes)
    logits = logit_maps(bundle, trained(bundle), image, device, progress, engine)
    if logits.shape[0] != len(options.channels):
        raise PipelineError(f"the network gives {logits.shape[0]} channels, the pipeline names {len(options.channels)}")
    labels = painted(seen(logits, image, roles, options), options, geometry.voxel_volume_mm3(affine))
    source = volumes[0]
    return Segmentation(
        array=labels_on_grid(labels, affine, source.shape, source.affine_ras),
        affine_ras=source.affine_ras,
        labels=dict(options.labels),
        not_available=options.not_available,
        merged=dict(options.merged),
    )


def seen(
    logits: NDArray[np.float32], image: NDArray[np.float32], roles: Sequence[str], options: SegmentOptions
) -> NDArray[np.float32]:
    """The logits (C, I, J, K), with -inf where a channel of `options.brighter` is not brighter enough in the image.

    image: the network's input (one channel a role, I, J, K).
    """
    if not options.brighter:
        return logits
    logits = logits.copy()
    for channel, (role, other, by) in options.brighter.items():
        difference = image[roles.index(role)] - image[roles.index(other)]
        near = ndimage.uniform_filter(difference, NEAR, mode="constant")
        logits[options.channels.index(channel)][near <= by] = -np.inf
    return logits


def painted(logits: NDArray[np.float32], options: SegmentOptions, voxel_mm3: float) -> NDArray[np.uint8]:
    """Logits (C, I, J, K) to a label map (I, J, K): each channel's mask painted in the order of `options.paint`."""
    labels = np.zeros(tuple(logits.shape[1:]), dtype=np.uint8)
    for channel, value in options.paint.items():
        output = logits[options.channels.index(channel)]
        # sigmoid(x) > p exactly where x > log(p / (1 - p)): no float copy of the probabilities
        mask = output > np.float32(logit(options.threshold_of(channel)))
        if channel in options.fill_holes:
            mask = _filled(mask)
        if channel in options.fill_rings:
            mask = _filled_in_slices(mask)
        labels[_trusted(mask, output, options, channel, voxel_mm3)] = value
    return labels


def _trusted(
    mask: NDArray[np.bool_], output: NDArray[np.float32], options: SegmentOptions, channel: str, voxel_mm3: float
) -> NDArray[np.bool_]:
    """The mask without the 26-connected components that are too small or, on average, too improbable."""
    min_voxels = options.min_volume_mm3.get(channel, 0.0) / voxel_mm3
    confidence = options.min_confidence.get(channel, 0.0)
    if not mask.any() or (min_voxels <= 1 and confidence <= 0):
        return mask
    components, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    numbers = components[mask]
    sizes = np.bincount(numbers, minlength=count + 1)
    kept = sizes >= max(min_voxels, 1)
    if confidence > 0:
        sums = np.bincount(numbers, weights=expit(output[mask]), minlength=count + 1)
        enough = sums >= confidence * sizes
        if channel in options.never_empty:
            enough[sizes.argmax()] = True
        kept &= enough
    return np.asarray(kept[components])


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with what it encloses on every side (6-connected background)."""
    return np.asarray(ndimage.binary_fill_holes(mask))


def _filled_in_slices(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask (I, J, K) with what it encloses within a slice along any axis (4-connected background)."""
    made = np.array(mask)
    if not mask.any():
        return made
    # nothing outside its box is enclosed
    box = tuple(slice(a, b) for a, b in zip(*bounds(mask), strict=True))
    for axis in range(mask.ndim):
        # of the mask as it was: the order of the axes does not matter
        for part, filled in zip(np.moveaxis(mask[box], axis, 0), np.moveaxis(made[box], axis, 0), strict=True):
            np.logical_or(filled, ndimage.binary_fill_holes(part), out=filled)
    return made
