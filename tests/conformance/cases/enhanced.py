"""Enhanced multi-frame images: each frame has its own place, scale and type, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from conformance.cases.case import Expected, Theme, Truth, rejected, volumes
from conformance.cases.phantom import AXIAL, CORONAL, Phantom, line, stored
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from medimg.errors import Reason

cases = Theme("enhanced")

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
ENHANCED_PET = "1.2.840.10008.5.1.4.1.1.130"
LEGACY_CT = "1.2.840.10008.5.1.4.1.1.2.2"
XA_3D = "1.2.840.10008.5.1.4.1.1.13.1.1"


def item(**elements: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def one(**elements: Any) -> Items:
    return Items([item(**elements)])


@dataclass(frozen=True)
class Slice:
    """One frame. macros: sequence keyword -> elements of its functional group beside the usual ones."""

    position: Sequence[float]
    orientation: Sequence[float] = AXIAL
    add: float = 0.0
    slope: float = 1.0
    macros: dict[str, dict[str, Any]] = field(default_factory=dict)


def enhanced(
    scan: Phantom,
    frames: Sequence[Slice],
    *,
    sop_class: str = ENHANCED_CT,
    modality: str = "CT",
    shared_scale: bool = False,
    elements: dict[str, Any] | None = None,
) -> Path:
    """One multi-frame file of the frames, in their order."""
    slices = [scan.dataset(frame.position, frame.orientation, add=frame.add) for frame in frames]
    whole = scan.dataset(frames[0].position, modality=modality)
    whole.SOPClassUID = sop_class
    whole.NumberOfFrames = len(frames)
    groups = [_group(frame, shared_scale) for frame in frames]
    shared = item(PixelMeasuresSequence=one(PixelSpacing=list(scan.spacing), SliceThickness=3.0))
    if shared_scale:
        shared.PixelValueTransformationSequence = one(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    whole.SharedFunctionalGroupsSequence = Items([shared])
    whole.PerFrameFunctionalGroupsSequence = Items(groups)
    scaled = [np.round(stored(each) / frame.slope) for each, frame in zip(slices, frames, strict=True)]
    whole.PixelData = b"".join(words.astype("<u2").tobytes() for words in scaled)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(whole, keyword)
    del whole.RescaleIntercept
    for keyword, value in (elements or {}).items():
        setattr(whole, keyword, value)
    return scan.write(whole, scan.folder / scan.name(whole))


def _group(frame: Slice, shared_scale: bool) -> Dataset:
    group = item(
        PlanePositionSequence=one(ImagePositionPatient=list(map(float, frame.position))),
        PlaneOrientationSequence=one(ImageOrientationPatient=list(map(float, frame.orientation))),
    )
    if not shared_scale:
        scale = one(RescaleSlope=frame.slope, RescaleIntercept=-1024, RescaleType="US")
        group.PixelValueTransformationSequence = scale
    for keyword, values in frame.macros.items():
        setattr(group, keyword, one(**values))
    return group


def content(**elements: Any) -> dict[str, dict[str, Any]]:
    return {"FrameContentSequence": elements}


SOP_CLASSES = {
    "CT": (ENHANCED_CT, "CT"),
    "MR": (ENHANCED_MR, "MR"),
    "PET": (ENHANCED_PET, "PT"),
    "legacy_CT": (LEGACY_CT, "CT"),
    "angiography": (XA_3D, "XA"),
}


@cases.each(**SOP_CLASSES)
def enhanced_shuffled(scan: Phantom, kind: tuple[str, str]) -> Expected:
    """One multi-frame file, its frames in no order."""
    order = np.random.default_rng(1).permutation(8)
    enhanced(scan, [Slice(line(8)[n]) for n in order], sop_class=kind[0], modality=kind[1])
    return volumes(8)


@cases.case
def enhanced_in_order(scan: Phantom) -> Expected:
    """One multi-frame file, its frames in order, the scale shared by all."""
    enhanced(scan, [Slice(place) for place in line(8)], shared_scale=True)
    return volumes(8)


@cases.case
def enhanced_descending(scan: Phantom) -> Expected:
    """One multi-frame file, its frames from the top down."""
    enhanced(scan, [Slice(place) for place in line(8, step=(0, 0, -3))])
    return volumes(8)


@cases.case
def enhanced_scale_by_frame(scan: Phantom) -> Expected:
    """Every frame has a rescale slope of its own."""
    slopes = [1, 0.5, 0.25, 0.5, 1, 0.125]
    enhanced(scan, [Slice(place, slope=slope) for place, slope in zip(line(6), slopes, strict=True)])
    return volumes(6)


@cases.case
def enhanced_echoes(scan: Phantom) -> Expected:
    """Two echoes in one multi-frame file."""
    frames = [
        Slice(place, add=add, macros={"MREchoSequence": {"EffectiveEchoTime": echo}})
        for place in line(6)
        for echo, add in ((4.6, 0), (9.2, 50))
    ]
    enhanced(scan, frames, sop_class=ENHANCED_MR, modality="MR")
    return volumes(6, Truth(6, add=50))


@cases.case
def enhanced_time_points(scan: Phantom) -> Expected:
    """Three time points in one multi-frame file (functional MR)."""
    frames = [
        Slice(place, add=50 * time, macros=content(TemporalPositionIndex=time + 1))
        for time in range(3)
        for place in line(6)
    ]
    enhanced(scan, frames, sop_class=ENHANCED_MR, modality="MR")
    return volumes(*(Truth(6, add=50 * time) for time in range(3)))


@cases.case
def enhanced_b_values(scan: Phantom) -> Expected:
    """Two b-values, the second with two directions, in one multi-frame file."""
    weights: list[dict[str, Any]] = [{"DiffusionBValue": 0.0}]
    for direction in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]):
        gradient = one(DiffusionGradientOrientation=direction)
        weights.append({"DiffusionBValue": 800.0, "DiffusionGradientDirectionSequence": gradient})
    frames = [
        Slice(place, add=50 * number, macros={"MRDiffusionSequence": weight})
        for place in line(6)
        for number, weight in enumerate(weights)
    ]
    enhanced(scan, frames, sop_class=ENHANCED_MR, modality="MR")
    return volumes(*(Truth(6, add=50 * number) for number in range(3)))


@cases.case
def enhanced_magnitude_and_phase(scan: Phantom) -> Expected:
    """Magnitude and phase in one multi-frame file."""
    frames = [
        Slice(place, add=add, macros={"MRImageFrameTypeSequence": {"ComplexImageComponent": part}})
        for part, add in (("MAGNITUDE", 0), ("PHASE", 50))
        for place in line(6)
    ]
    enhanced(scan, frames, sop_class=ENHANCED_MR, modality="MR")
    return volumes(6, Truth(6, add=50))


@cases.case
def enhanced_two_orientations(scan: Phantom) -> Expected:
    """An axial and a coronal stack in one multi-frame file."""
    axial = [Slice(place, macros=content(StackID="1", InStackPositionNumber=n)) for n, place in enumerate(line(6), 1)]
    coronal = [
        Slice(place, CORONAL, 50, macros=content(StackID="2", InStackPositionNumber=n))
        for n, place in enumerate(line(5, step=(0, 3, 0)), 1)
    ]
    enhanced(scan, axial + coronal, sop_class=ENHANCED_MR, modality="MR")
    return volumes(6, Truth(5, add=50))


@cases.case
def enhanced_two_stacks_at_one_place(scan: Phantom) -> Expected:
    """Two stacks of the same places in one multi-frame file, told apart by their Stack ID alone."""
    frames = [
        Slice(place, add=50 * stack, macros=content(StackID=str(stack + 1), InStackPositionNumber=n))
        for n, place in enumerate(line(6), 1)
        for stack in range(2)
    ]
    enhanced(scan, frames, sop_class=ENHANCED_MR, modality="MR")
    return volumes(6, Truth(6, add=50))


@cases.case
def enhanced_two_stacks_half_a_slice_apart(scan: Phantom) -> Expected:
    """Two stacks half a slice apart in one multi-frame file, told apart by their Stack ID alone."""
    frames = [
        Slice(place, add=50 * stack, macros=content(StackID=str(stack + 1), InStackPositionNumber=n))
        for stack in range(2)
        for n, place in enumerate(line(6, start=(-9, -4, -20 + 1.5 * stack)), 1)
    ]
    enhanced(scan, frames, sop_class=ENHANCED_MR, modality="MR")
    return volumes(6, Truth(6, add=50))


@cases.case
def enhanced_over_two_files(scan: Phantom) -> Expected:
    """A concatenation: the frames of one image over two files."""
    for part in range(2):
        places = line(8)[4 * part : 4 * part + 4]
        known = {"ConcatenationUID": "2.25.33", "InConcatenationNumber": part + 1, "InstanceNumber": 1}
        enhanced(scan, [Slice(place) for place in places], elements=known)
    return volumes(8)


@cases.case
def enhanced_missing_frame(scan: Phantom) -> Expected:
    """A frame inside the stack is not there."""
    enhanced(scan, [Slice(place) for place in line(8, without=[3])])
    return rejected(Reason.MISSING_SLICES)


@cases.case
def enhanced_without_positions(scan: Phantom) -> Expected:
    """A multi-frame CT that describes none of its frames."""
    enhanced(scan, [Slice(place) for place in line(6)], elements={"PerFrameFunctionalGroupsSequence": Items([])})
    return rejected((Reason.UNSUPPORTED_KIND, Reason.NO_GEOMETRY), excluded=[Reason.UNSUPPORTED_KIND])


@cases.case
def enhanced_frames_claimed(scan: Phantom) -> Expected:
    """The header claims more frames than it describes, and than there are pixels for."""
    enhanced(scan, [Slice(place) for place in line(6)], elements={"NumberOfFrames": 9})
    return rejected(Reason.TRUNCATED)


@cases.case
def multiframe_without_functional_groups(scan: Phantom) -> Expected:
    """A plain multi-frame image: a count of frames, one position."""

    def frames(dataset: Dataset, _number: int) -> None:
        dataset.NumberOfFrames = 4
        dataset.PixelData *= 4

    scan.slices(line(1), edit=frames)
    return rejected(Reason.UNSUPPORTED_KIND, excluded=[Reason.UNSUPPORTED_KIND])
