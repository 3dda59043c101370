"""Several volumes under one series: echoes, phases, b-values, time points, parts of complex numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.cases.case import Expected, Theme, Truth, rejected, volumes
from conformance.cases.phantom import Phantom, line, put
from pydicom.dataset import Dataset

from medimg.errors import Reason

cases = Theme("kinds")

STEP = 50.0
"""Grey values between the volumes of one series."""


def truths(count: int, slices: int = 6) -> Expected:
    return volumes(*(Truth(slices, add=STEP * number) for number in range(count)))


def repeated(scan: Phantom, values: Sequence[dict[str, Any]], modality: str = "MR", shift: float = 0.0) -> Expected:
    """One volume of 6 slices a set of header values, all under one series, instance numbers running through."""
    for number, elements in enumerate(values):
        start = (-9, -4, -20 + shift * number)
        running = numbered(number * 6, elements)
        scan.slices(line(6, start=start), modality=modality, add=STEP * number, edit=running)
    return truths(len(values))


def numbered(first: int, elements: dict[str, Any]):
    def edit(dataset: Dataset, number: int) -> None:
        put(InstanceNumber=first + number + 1, **elements)(dataset, number)

    return edit


TELLING = {
    "echo_time": [{"EchoTime": 4.6}, {"EchoTime": 9.2}, {"EchoTime": 13.8}],
    "echo_number": [{"EchoNumbers": 1}, {"EchoNumbers": 2}],
    "acquisition_number": [{"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}],
    "temporal_position": [{"TemporalPositionIdentifier": number} for number in (1, 2, 3, 4)],
    "trigger_time": [{"TriggerTime": 30 * number} for number in range(4)],
    "b_value": [{"DiffusionBValue": 0.0}, {"DiffusionBValue": 500.0}, {"DiffusionBValue": 1000.0}],
    "inversion_time": [{"InversionTime": 100}, {"InversionTime": 400}],
    "flip_angle": [{"FlipAngle": 3}, {"FlipAngle": 18}],
    "acquisition_time": [{"AcquisitionTime": "101500.5"}, {"AcquisitionTime": "101530"}],
    "content_time": [{"ContentTime": "101500.5"}, {"ContentTime": "101530"}],
    "magnitude_and_phase": [{"ImageType": ["ORIGINAL", "PRIMARY", part]} for part in ("M", "P")],
    "magnitude_phase_real_imaginary": [{"ImageType": ["ORIGINAL", "PRIMARY", part, "ND"]} for part in "MPRI"],
    "dixon": [{"ImageType": ["DERIVED", "PRIMARY", "DIXON", part]} for part in ("WATER", "FAT", "IN", "OUT")],
    "instance_number_alone": [{}, {}, {}],
}


@cases.each(**TELLING)
def told_apart_by(scan: Phantom, values: list[dict[str, Any]]) -> Expected:
    """Several MR volumes at the same places under one series, told apart by one header."""
    return repeated(scan, values)


CT_TELLING = {
    "phase_by_acquisition_number": [{"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}],
    "phase_by_acquisition_time": [{"AcquisitionTime": "101500"}, {"AcquisitionTime": "101545"}],
    "kernel": [{"ConvolutionKernel": "B30f"}, {"ConvolutionKernel": "B70f"}],
    "tube_voltage": [{"KVP": 80}, {"KVP": 140}],
}


@cases.each(**CT_TELLING)
def ct_told_apart_by(scan: Phantom, values: list[dict[str, Any]]) -> Expected:
    """Two CT volumes at the same places under one series (contrast phases, kernels, energies)."""
    return repeated(scan, values, "CT")


@cases.each(echo_time=["EchoTime", 4.6, 9.2], acquisition_number=["AcquisitionNumber", 1, 2])
def interleaved(scan: Phantom, how: list[Any]) -> Expected:
    """Two volumes half a slice apart under one series: together they look like one of thin slices."""
    keyword, first, second = how
    return repeated(scan, [{keyword: first}, {keyword: second}], shift=1.5)


@cases.case
def gradient_directions(scan: Phantom) -> Expected:
    """Diffusion: one b=0 volume and three directions of b=1000."""
    directions = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    weighted = [{"DiffusionBValue": 1000.0, "DiffusionGradientOrientation": value} for value in directions]
    return repeated(scan, [{"DiffusionBValue": 0.0}, *weighted])


@cases.case
def phases_and_echoes(scan: Phantom) -> Expected:
    """Two echoes at each of two time points."""
    values = [{"TemporalPositionIdentifier": t, "EchoTime": e} for t in (1, 2) for e in (5.0, 10.0)]
    return repeated(scan, values)


@cases.case
def perfusion_numbered_by_place(scan: Phantom) -> Expected:
    """Time points of one place numbered one after the other, then the next place (perfusion CT, cardiac cine)."""
    for time in range(4):

        def number_on(dataset: Dataset, place: int, time: int = time) -> None:
            dataset.InstanceNumber = place * 4 + time + 1

        scan.slices(line(6), modality="MR", add=STEP * time, edit=number_on)
    return truths(4)


@cases.case
def repeats_that_nothing_tells_apart(scan: Phantom) -> Expected:
    """Two volumes at the same places, and no header says which image belongs to which."""
    scan.slices(line(6), modality="MR", edit=put(InstanceNumber=1))
    scan.slices(line(6), modality="MR", edit=put(InstanceNumber=1), add=STEP)
    return rejected(Reason.DUPLICATE_POSITION, guess=True)


@cases.case
def the_last_time_point_is_cut_short(scan: Phantom) -> Expected:
    """A time series stopped by hand: the last time point has a gap."""
    for time in range(3):
        gone = [] if time < 2 else [2]
        edit = numbered(time * 6, {"TemporalPositionIdentifier": time + 1})
        scan.slices(line(6, without=gone), modality="MR", add=STEP * time, edit=edit)
    return volumes(6, Truth(6, add=STEP), rejected=(Reason.MISSING_SLICES,))


@cases.case
def one_exposure_a_slice(scan: Phantom) -> Expected:
    """One CT volume whose tube current, time and acquisition number change along it."""

    def edit(dataset: Dataset, number: int) -> None:
        dataset.XRayTubeCurrent, dataset.Exposure = 100 + number, 5 * number
        dataset.AcquisitionNumber = 1 + number // 4
        dataset.AcquisitionTime = f"1015{number:02d}"

    scan.slices(line(12), edit=edit)
    return volumes(12)


@cases.case
def interleaved_acquisition(scan: Phantom) -> Expected:
    """One MR volume, even slices measured before odd ones."""

    def edit(dataset: Dataset, number: int) -> None:
        dataset.AcquisitionTime = f"1015{(number % 2) * 30 + number:02d}"
        dataset.TriggerTime = (number % 2) * 700 + number * 20

    scan.slices(line(8), modality="MR", edit=edit)
    return volumes(8)
