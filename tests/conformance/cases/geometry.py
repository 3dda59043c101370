"""Where slices lie: orientations, tilts, spacings, and the ways in which headers write them down."""

from __future__ import annotations

import numpy as np
from conformance.cases.case import Expected, Theme, Truth, rejected, volumes
from conformance.cases.phantom import AXIAL, CORONAL, OBLIQUE, SAGITTAL, START, Phantom, line, only, put, raw

from medimg.errors import Reason

cases = Theme("geometry")

PATIENT_POSITIONS = {
    "HFS": AXIAL,
    "HFP": (-1, 0, 0, 0, -1, 0),
    "HFDR": (0, -1, 0, 1, 0, 0),
    "HFDL": (0, 1, 0, -1, 0, 0),
    "FFS": (-1, 0, 0, 0, 1, 0),
    "FFP": (1, 0, 0, 0, -1, 0),
    "FFDR": (0, -1, 0, -1, 0, 0),
    "FFDL": (0, 1, 0, 1, 0, 0),
}
"""Patient Position -> cosines of images whose rows run from the gantry's left as seen from the foot of the table."""


def turned(orientation: tuple[float, ...], degrees: float) -> tuple[float, ...]:
    """The orientation with its columns leaning towards the normal: a tilted gantry."""
    row, column = np.array(orientation).reshape(2, 3)
    angle = np.radians(degrees)
    leaning = np.cos(angle) * column + np.sin(angle) * np.cross(row, column)
    return (*row.tolist(), *leaning.tolist())


def normal(orientation: tuple[float, ...]) -> np.ndarray:
    return np.cross(orientation[:3], orientation[3:])


DIRECTIONS = {
    f"{name}_{way}": (orientation, sign)
    for name, orientation in {"coronal": CORONAL, "sagittal": SAGITTAL, "oblique": OBLIQUE, "axial": AXIAL}.items()
    for way, sign in {"ascending": 1, "descending": -1}.items()
}


@cases.each(**DIRECTIONS)
def orientation(scan: Phantom, how: tuple[tuple[float, ...], int]) -> Expected:
    """Slices of one orientation, written in one order."""
    cosines, sign = how
    scan.slices(line(8, step=3 * sign * normal(cosines)), orientation=cosines)
    return volumes(8)


@cases.each(**PATIENT_POSITIONS)
def patient_position(scan: Phantom, cosines: tuple[float, ...]) -> Expected:
    """How the patient lies on the table."""
    name = next(key for key, value in PATIENT_POSITIONS.items() if value == cosines)
    # the table moves the same way whatever lies on it
    scan.slices(line(8, step=-3 * normal(cosines)), orientation=cosines, edit=put(PatientPosition=name))
    return volumes(8)


@cases.each(plus_15=15, minus_15=-15, plus_28=28, minus_28=-28)
def gantry_tilt(scan: Phantom, degrees: float) -> Expected:
    """The gantry is tilted: slices lean, the table moves along z."""
    scan.slices(line(8), orientation=turned(AXIAL, degrees), edit=put(GantryDetectorTilt=degrees))
    return volumes(8)


@cases.case
def gantry_tilt_descending(scan: Phantom) -> Expected:
    """A tilted gantry, slices from the top down, the patient prone."""
    scan.slices(line(8, step=(0, 0, -3)), orientation=turned((-1, 0, 0, 0, -1, 0), 20))
    return volumes(8)


@cases.case
def tilt_of_an_oblique_stack(scan: Phantom) -> Expected:
    """Slices that are oblique and lean as well (an MR stack moved along another axis than its normal)."""
    leaning = turned(OBLIQUE, 12)
    scan.slices(line(8, step=3 * normal(OBLIQUE)), orientation=leaning, modality="MR")
    return volumes(8)


@cases.case
def shear_beyond_any_gantry(scan: Phantom) -> Expected:
    """Each slice slides along itself by three times its distance to the next."""
    scan.slices(line(6, step=(0, 9, 3)))
    return rejected(Reason.UNSUPPORTED_KIND)


@cases.case
def pixels_not_square(scan: Phantom) -> Expected:
    """Rows are 0.7 mm apart, columns 1.9 mm."""
    scan.slices(line(8), spacing=(0.7, 1.9))
    return volumes(8)


@cases.case
def thin_slices(scan: Phantom) -> Expected:
    """Slices are 0.3 mm apart."""
    scan.slices(line(12, step=(0, 0, 0.3)))
    return volumes(12)


@cases.case
def two_slices(scan: Phantom) -> Expected:
    """The volume has two slices."""
    scan.slices(line(2))
    return volumes(2)


@cases.case
def single_slice(scan: Phantom) -> Expected:
    """One image alone."""
    scan.slices(line(1))
    return rejected(Reason.SINGLE_SLICE, excluded=[Reason.SINGLE_SLICE])


@cases.case
def cosines_jitter(scan: Phantom) -> Expected:
    """Direction cosines differ by up to 1e-4 from slice to slice."""
    rng = np.random.default_rng(0)

    def jitter(dataset, _number):
        cosines = np.array(AXIAL) + rng.uniform(-1e-4, 1e-4, 6)
        dataset["ImageOrientationPatient"]._value = [f"{value:.8f}" for value in cosines]

    scan.slices(line(8), edit=jitter)
    return volumes(8)


@cases.case
def positions_jitter(scan: Phantom) -> Expected:
    """Positions are off by up to 0.004 mm, as floats that were written short."""
    rng = np.random.default_rng(0)
    scan.slices([tuple(np.array(place) + rng.uniform(-0.004, 0.004, 3)) for place in line(8)])
    return volumes(Truth(8, tolerance=0.55))


@cases.case
def long_decimal_strings(scan: Phantom) -> Expected:
    """Decimal strings of 22 characters, six more than the standard allows."""

    def lengthen(dataset, _number):
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            dataset[keyword]._value = [f"{float(value):.18f}" for value in dataset[keyword].value]

    scan.slices(line(8), edit=lengthen)
    return volumes(8)


@cases.case
def decimal_commas(scan: Phantom) -> Expected:
    """Positions and spacings are written with decimal commas."""

    def commas(dataset, _number):
        for keyword in ("ImagePositionPatient", "PixelSpacing"):
            dataset[keyword]._value = [f"{float(value):.3f}".replace(".", ",") for value in dataset[keyword].value]

    scan.slices(line(8), edit=commas)
    return volumes(8)


@cases.case
def exponents_and_blanks(scan: Phantom) -> Expected:
    """Numbers with exponents, plus signs and blanks around them."""

    def rewrite(dataset, _number):
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient"):
            dataset[keyword]._value = [f" {float(value):+.6E} " for value in dataset[keyword].value]

    scan.slices(line(8), edit=rewrite)
    return volumes(8)


NUMBERS = {
    "missing": put(InstanceNumber=None),
    "scrambled": lambda dataset, number: put(InstanceNumber=(number * 5 + 3) % 8)(dataset, number),
    "all_the_same": put(InstanceNumber=1),
    "missing_in_one": only(3, put(InstanceNumber=None)),
    "reversed_with_slice_location": lambda dataset, number: put(InstanceNumber=8 - number, SliceLocation=-number)(
        dataset, number
    ),
}


@cases.each(**NUMBERS)
def instance_number(scan: Phantom, edit) -> Expected:
    """Instance numbers that say nothing about the order of slices."""
    scan.slices(line(8), edit=edit)
    return volumes(8)


@cases.each(everywhere=put(FrameOfReferenceUID=None), in_one_slice=only(3, put(FrameOfReferenceUID=None)))
def no_frame_of_reference(scan: Phantom, edit) -> Expected:
    """The Frame of Reference UID is missing."""
    scan.slices(line(8), edit=edit)
    return volumes(8)


@cases.case
def two_frames_of_reference(scan: Phantom) -> Expected:
    """The patient was moved in between: the second half has a frame of reference of its own."""
    scan.slices(line(4))
    scan.slices(line(4, start=(-9, -4, -8)), edit=put(FrameOfReferenceUID="2.25.99"), add=100)
    return volumes(4, Truth(4, add=100))


UNKNOWN_PLACES = {
    "no_position": put(ImagePositionPatient=None),
    "no_orientation": put(ImageOrientationPatient=None),
    "no_spacing": put(PixelSpacing=None),
    "empty_position": put(ImagePositionPatient=""),
    "position_not_a_number": raw("ImagePositionPatient", "NaN\\NaN\\NaN"),
    "position_infinite": raw("ImagePositionPatient", "0\\0\\inf"),
    "position_in_words": raw("ImagePositionPatient", "left\\middle\\top"),
    "position_of_two_numbers": raw("ImagePositionPatient", "1\\2"),
    "orientation_not_orthogonal": raw("ImageOrientationPatient", "1\\0\\0\\1\\0\\0"),
    "orientation_not_unit": raw("ImageOrientationPatient", "2\\0\\0\\0\\2\\0"),
    "orientation_zero": raw("ImageOrientationPatient", "0\\0\\0\\0\\0\\0"),
    "spacing_zero": raw("PixelSpacing", "0\\0"),
    "spacing_negative": raw("PixelSpacing", "-1\\1"),
    "spacing_not_a_number": raw("PixelSpacing", "NaN\\1"),
}


@cases.each(**UNKNOWN_PLACES)
def geometry_unknown(scan: Phantom, edit) -> Expected:
    """No slice says where it lies."""
    scan.slices(line(6), edit=edit)
    return rejected(Reason.NO_GEOMETRY, excluded=[Reason.NO_GEOMETRY] * 6)


@cases.each(in_the_middle=3, at_the_end=7)
def one_position_not_a_number(scan: Phantom, which: int) -> Expected:
    """One slice of eight has NaN for a position."""
    scan.slices(line(8), edit=only(which, raw("ImagePositionPatient", "NaN\\NaN\\NaN")))
    return rejected(Reason.NO_GEOMETRY)


@cases.case
def two_orientations(scan: Phantom) -> Expected:
    """An axial and a coronal stack under one series."""
    scan.slices(line(8))
    scan.slices(line(6, step=(0, 3, 0)), orientation=CORONAL)
    return volumes(8, 6)


@cases.case
def three_planes_interleaved(scan: Phantom) -> Expected:
    """A three-plane planning scan: a few slices of each plane, numbered in turn, not marked as localizer."""
    for cosines in (AXIAL, CORONAL, SAGITTAL):
        scan.slices(line(3, step=10 * normal(cosines)), orientation=cosines, modality="MR")
    return volumes(3, 3, 3)


@cases.case
def radial(scan: Phantom) -> Expected:
    """Slices around one axis, each of its own orientation."""
    for degrees in range(0, 180, 30):
        angle = np.radians(degrees)
        row = np.array([np.cos(angle), np.sin(angle), 0])
        cosines = (*row.tolist(), 0.0, 0.0, -1.0)
        scan.slices([tuple((-8 * row + [0, 0, 20]).tolist())], orientation=cosines, modality="MR")
    return rejected(Reason.MIXED_ORIENTATION)


@cases.case
def slices_on_a_curve(scan: Phantom) -> Expected:
    """Evenly spaced along z, but shifted to the side along an arc."""
    scan.slices([(START[0] + 0.05 * k * k, *place[1:]) for k, place in enumerate(line(8))])
    return rejected(Reason.UNEVEN_SPACING)


@cases.case
def stations_side_by_side(scan: Phantom) -> Expected:
    """A long scan in two stations: coronal stacks above each other."""
    for z in (-20, 120):
        scan.slices(line(6, step=(0, 3, 0), start=(-9, -4, z)), orientation=CORONAL, modality="MR")
    return volumes(6, 6)


@cases.each(in_the_middle=3, at_the_end=7)
def one_slice_of_another_size(scan: Phantom, which: int) -> Expected:
    """One slice has a column more than the others."""
    others = [place for number, place in enumerate(line(8)) if number != which]
    scan.slices(others)
    scan.columns += 1
    scan.slices([line(8)[which]])
    scan.columns -= 1
    lone = [Reason.SINGLE_SLICE]
    return (
        rejected(Reason.MISSING_SLICES, excluded=lone)
        if which < 7
        else volumes(7, rejected=(Reason.SINGLE_SLICE,), excluded=lone)
    )


def scaled(scan: Phantom, factor: float) -> tuple[float, float]:
    down, across = scan.spacing
    return (down * factor, across * factor)


@cases.each(in_the_middle=3, at_the_end=7)
def one_slice_of_another_pixel_spacing(scan: Phantom, which: int) -> Expected:
    """One slice was reconstructed with another field of view."""
    others = [place for number, place in enumerate(line(8)) if number != which]
    scan.slices(others)
    scan.slices([line(8)[which]], spacing=scaled(scan, 1.1))
    lone = [Reason.SINGLE_SLICE]
    return (
        rejected(Reason.MISSING_SLICES, excluded=lone)
        if which < 7
        else volumes(7, rejected=(Reason.SINGLE_SLICE,), excluded=lone)
    )


@cases.case
def two_fields_of_view(scan: Phantom) -> Expected:
    """One series holds two reconstructions of different fields of view at the same positions."""
    scan.slices(line(8))
    scan.slices(line(8), spacing=scaled(scan, 0.5))
    return volumes(8, 8)


@cases.case
def two_patients_in_one_series(scan: Phantom) -> Expected:
    """Two patients under one study and series UID, one above the other: a careless anonymiser's work."""
    scan.slices(line(4))
    scan.slices(line(4, start=(-9, -4, -8)), edit=put(PatientID="somebody else"), add=100)
    return volumes(4, Truth(4, add=100), rejected=(Reason.MIXED_PATIENTS,))
