"""DICOM objects that are no slice of a scan: captures, colour, reports, plans, segmentations, presentation states."""

from __future__ import annotations

from conformance.cases.case import Expected, Theme, rejected, volumes
from conformance.cases.phantom import CORONAL, SAGITTAL, Phantom, line, put
from pydicom.dataset import Dataset

from medimg.errors import Reason

cases = Theme("objects")

SC = "1.2.840.10008.5.1.4.1.1.7"
SC_MULTIFRAME_GREY = "1.2.840.10008.5.1.4.1.1.7.3"
US_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.3.1"
RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"

WITHOUT_PIXELS = {
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
    "RTPLAN": "1.2.840.10008.5.1.4.1.1.481.5",
    "SR": "1.2.840.10008.5.1.4.1.1.88.33",
    "PDF": "1.2.840.10008.5.1.4.1.1.104.1",
    "KO": "1.2.840.10008.5.1.4.1.1.88.59",
    "PR": "1.2.840.10008.5.1.4.1.1.11.1",
    "ECG_waveform": "1.2.840.10008.5.1.4.1.1.9.1.1",
    "registration": "1.2.840.10008.5.1.4.1.1.66.1",
    "raw_data": "1.2.840.10008.5.1.4.1.1.66",
}


def without_pixels(sop_class: str):
    def edit(dataset: Dataset, _number: int) -> None:
        dataset.SOPClassUID = sop_class
        dataset.SeriesInstanceUID = "2.25.99"
        for keyword in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient"):
            delattr(dataset, keyword)

    return edit


@cases.each(**WITHOUT_PIXELS)
def object_in_the_folder(scan: Phantom, sop_class: str) -> Expected:
    """An object without pixels lies in the folder, in a series of its own."""
    scan.slices(line(8))
    scan.slices(line(1), edit=without_pixels(sop_class))
    return volumes(8, skipped=[Reason.NOT_AN_IMAGE])


WITH_PIXELS = {"RTDOSE": RT_DOSE, "SEG": SEGMENTATION, "parametric_map": PARAMETRIC_MAP}


@cases.each(**WITH_PIXELS)
def map_in_the_folder(scan: Phantom, sop_class: str) -> Expected:
    """An object that maps the scan lies in the folder, with pixels, a position and an orientation."""
    scan.slices(line(8))

    def frames(dataset: Dataset, _number: int) -> None:
        dataset.SOPClassUID, dataset.SeriesInstanceUID = sop_class, "2.25.99"
        dataset.NumberOfFrames = 4
        dataset.PixelData *= 4

    scan.slices(line(1), edit=frames)
    return volumes(8, skipped=[Reason.NOT_AN_IMAGE])


@cases.case
def nothing_but_a_report(scan: Phantom) -> Expected:
    """The folder holds a report and no image at all."""
    scan.slices(line(1), edit=without_pixels(WITHOUT_PIXELS["SR"]))
    return volumes(skipped=[Reason.NOT_AN_IMAGE])


def colour(dataset: Dataset, _number: int) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.PixelData *= 3


FOREIGN = {
    "localizer": (put(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), CORONAL, Reason.LOCALIZER),
    "localizer_unmarked": (put(), SAGITTAL, Reason.SINGLE_SLICE),
    "secondary_capture": (put(SOPClassUID=SC, Modality="OT"), CORONAL, Reason.SECONDARY_CAPTURE),
    "screen_save": (put(ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"]), CORONAL, Reason.SECONDARY_CAPTURE),
    "colour": (colour, CORONAL, Reason.COLOUR),
}


@cases.each(**FOREIGN)
def foreign_image_in_the_series(scan: Phantom, how) -> Expected:
    """An image that is no slice lies inside the series."""
    edit, orientation, reason = how
    scan.slices(line(8))
    scan.slices([(0, 0, 0)], orientation=orientation, edit=edit)
    return volumes(8, excluded=[reason])


@cases.case
def picture_without_a_place_in_the_series(scan: Phantom) -> Expected:
    """A derived picture of the same size lies inside the series, and says nothing of where it is."""
    scan.slices(line(8))
    lost = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
    scan.slices(line(1), edit=put(ImageType=["DERIVED", "SECONDARY", "OTHER"], **lost))
    return volumes(8, excluded=[Reason.NO_GEOMETRY])


@cases.each(grey=SC, multi_frame=SC_MULTIFRAME_GREY)
def only_secondary_captures(scan: Phantom, sop_class: str) -> Expected:
    """A series of screen shots that kept the positions of what they show."""
    scan.slices(line(6), edit=put(SOPClassUID=sop_class))
    return rejected(Reason.SECONDARY_CAPTURE, excluded=[Reason.SECONDARY_CAPTURE] * 6)


@cases.case
def only_colour(scan: Phantom) -> Expected:
    """A series of colour pictures (a perfusion map from a console)."""
    scan.slices(line(6), edit=colour)
    return rejected(Reason.COLOUR, excluded=[Reason.COLOUR] * 6)


@cases.case
def only_palette_colour(scan: Phantom) -> Expected:
    """A series of palette colour pictures."""
    scan.slices(line(6), edit=put(PhotometricInterpretation="PALETTE COLOR"))
    return rejected(Reason.COLOUR, excluded=[Reason.COLOUR] * 6)


@cases.case
def only_localizers(scan: Phantom) -> Expected:
    """A scout series of six images."""
    scan.slices(line(6), edit=put(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    return rejected(Reason.LOCALIZER, excluded=[Reason.LOCALIZER] * 6)


@cases.case
def ultrasound(scan: Phantom) -> Expected:
    """An ultrasound loop: frames in time, and no place in the patient."""

    def loop(dataset: Dataset, _number: int) -> None:
        put(SOPClassUID=US_MULTIFRAME, Modality="US", NumberOfFrames=4)(dataset, 0)
        put(ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None)(dataset, 0)
        dataset.PixelData *= 4

    scan.slices(line(1), edit=loop)
    return rejected((Reason.UNSUPPORTED_KIND, Reason.NO_GEOMETRY), excluded=[Reason.UNSUPPORTED_KIND])
