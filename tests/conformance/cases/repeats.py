"""Slices that are missing, there twice, or unevenly spaced."""

from __future__ import annotations

import numpy as np
from conformance.cases.case import Expected, Theme, Truth, rejected, volumes
from conformance.cases.geometry import turned
from conformance.cases.phantom import AXIAL, OBLIQUE, Phantom, line, put

from medimg.errors import Reason

cases = Theme("spacing")


@cases.each(one=[4], two_neighbours=[3, 4], at_two_places=[2, 6], next_to_the_end=[8], every_third=[3, 6])
def missing_slices(scan: Phantom, gone: list[int]) -> Expected:
    """Slices inside the stack are not there."""
    scan.slices(line(10, without=gone))
    return rejected(Reason.MISSING_SLICES)


@cases.case
def missing_slice_of_an_oblique_stack(scan: Phantom) -> Expected:
    """A slice of an oblique stack is not there."""
    normal = np.cross(OBLIQUE[:3], OBLIQUE[3:])
    scan.slices(line(10, step=2.5 * normal, without=[5]), orientation=OBLIQUE, modality="MR")
    return rejected(Reason.MISSING_SLICES)


@cases.case
def missing_slice_of_a_tilted_stack(scan: Phantom) -> Expected:
    """A slice of a stack with gantry tilt is not there."""
    scan.slices(line(10, without=[5]), orientation=turned(AXIAL, 15))
    return rejected(Reason.MISSING_SLICES)


@cases.case
def duplicate_slice(scan: Phantom) -> Expected:
    """One slice is there twice, with another instance UID and the same pixels."""
    scan.slices(line(8))
    scan.slices(line(8)[2:3])
    return volumes(8, excluded=[Reason.DUPLICATE_FILE])


@cases.case
def duplicate_of_other_pixels(scan: Phantom) -> Expected:
    """Two different images claim one place, and nothing tells which is true."""
    scan.slices(line(8))
    scan.slices(line(8)[2:3], add=70, edit=put(InstanceNumber=3))
    return rejected(Reason.DUPLICATE_POSITION, guess=True)


@cases.each(different=10.0, the_same=0.0)
def all_at_one_position(scan: Phantom, step: float) -> Expected:
    """All images claim one position; their pixels are ..."""
    for number in range(6):
        scan.slices(line(1), add=step * number, edit=put(InstanceNumber=1))
    if step:
        return rejected((Reason.DUPLICATE_POSITION, Reason.SINGLE_SLICE), guess=True)
    excluded = [Reason.DUPLICATE_FILE] * 5 + [Reason.SINGLE_SLICE]
    return rejected((Reason.SINGLE_SLICE, Reason.DUPLICATE_FILE), excluded=excluded)


@cases.case
def uneven_spacing(scan: Phantom) -> Expected:
    """The distance between slices grows in the middle, 3 and 4.3 mm."""
    scan.slices([*line(6), *line(5, step=(0, 0, 4.3), start=(-9, -4, -0.7))])
    return rejected(Reason.UNEVEN_SPACING)


@cases.case
def variable_spacing_head_ct(scan: Phantom) -> Expected:
    """A head CT: 2.5 mm through the posterior fossa, 5 mm above, one series, tilted gantry."""
    places = [*line(7, step=(0, 0, 2.5)), *line(6, step=(0, 0, 5), start=(-9, -4, -20 + 6 * 2.5 + 5))]
    scan.slices(places, orientation=turned(AXIAL, -12))
    return rejected(Reason.UNEVEN_SPACING)


@cases.case
def spacing_drifts(scan: Phantom) -> Expected:
    """Every gap is 2 % wider than the one before."""
    depth = np.concatenate([[0], np.cumsum(3 * 1.02 ** np.arange(9))])
    scan.slices([(-9.0, -4.0, -20 + float(z)) for z in depth])
    return rejected(Reason.UNEVEN_SPACING)


@cases.case
def one_slice_moved(scan: Phantom) -> Expected:
    """One slice lies 0.4 mm from where it should."""
    places = line(8)
    places[4] = (*places[4][:2], places[4][2] + 0.4)
    scan.slices(places)
    return rejected(Reason.UNEVEN_SPACING)


@cases.case
def one_slice_to_the_side(scan: Phantom) -> Expected:
    """One slice is shifted in its plane by half a millimetre."""
    places = line(8)
    places[3] = (places[3][0] + 0.5, *places[3][1:])
    scan.slices(places)
    return rejected(Reason.UNEVEN_SPACING)


def rounded(spacing: float, digits: int) -> list[tuple[float, ...]]:
    return [(*place[:2], round(place[2], digits)) for place in line(11, step=(0, 0, spacing))]


@cases.each(to_hundredths_of_1_25=(1.25, 2), to_hundredths_of_0_625=(0.625, 2), to_tenths_of_2_5=(2.5, 1))
def positions_rounded(scan: Phantom, how: tuple[float, int]) -> Expected:
    """The exporter rounded positions, and they stay within 1 % of the spacing or 0.01 mm."""
    scan.slices(rounded(*how))
    return volumes(Truth(11, tolerance=0.55))


@cases.each(to_tenths_of_1_25=(1.25, 1), to_millimetres_of_1_25=(1.25, 0), to_tenths_of_0_625=(0.625, 1))
def positions_rounded_too_far(scan: Phantom, how: tuple[float, int]) -> Expected:
    """The exporter rounded positions by more than 1 % of the spacing: slices may be that far off."""
    scan.slices(rounded(*how))
    return rejected((Reason.UNEVEN_SPACING, Reason.MISSING_SLICES))


@cases.case
def wide_gap(scan: Phantom) -> Expected:
    """100 mm between two stacks of one series (neck and pelvis)."""
    scan.slices(line(6) + line(5, start=(-9, -4, 95)))
    return volumes(6, 5)
