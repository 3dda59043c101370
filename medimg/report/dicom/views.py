"""The original images as highdicom wants to see them: small datasets with what its constructors read."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pydicom.valuerep import format_number_as_ds

from medimg.report.dicom.derive import derived
from medimg.report.dicom.original import Original, Plane


def slice_views(original: Original, planes: list[int]) -> list[Dataset]:
    """Slices as single-frame images, each with a placeholder for its UID that the caller replaces.

    So a frame of a multi-frame image, one phase of several, and slices of a jittering orientation are all one case.
    """
    views = [_view(original, original.planes[n]) for n in planes]
    for view, n in zip(views, planes, strict=True):
        view.SOPClassUID, view.SOPInstanceUID = CTImageStorage, placeholder(n)
    return views


def placeholder(number: int) -> str:
    """The UID that stands for slice `number` while an object is being built."""
    return derived("slice", number)


def image_views(original: Original) -> list[Dataset]:
    """Every image once, in slice order, under its own UIDs."""
    first = {plane.sop_instance_uid: plane for plane in reversed(original.planes)}
    return [_view(original, first[uid]) for _class, uid in original.instances]


def _view(original: Original, plane: Plane) -> Dataset:
    view = Dataset()
    view.update(original.who)
    view.update(original.scanner)
    view.SOPClassUID, view.SOPInstanceUID = plane.sop_class_uid, plane.sop_instance_uid
    view.SeriesInstanceUID, view.Modality = original.series_uid, original.modality
    view.FrameOfReferenceUID, view.PositionReferenceIndicator = original.frame_of_reference_uid, ""
    view.Rows, view.Columns = original.rows, original.columns
    view.PixelSpacing = [format_number_as_ds(value) for value in original.spacing_mm]
    view.SliceThickness = format_number_as_ds(original.thickness_mm)
    if original.step_mm is not None:
        view.SpacingBetweenSlices = format_number_as_ds(original.step_mm)
    view.ImageOrientationPatient = [format_number_as_ds(float(value)) for value in original.cosines.ravel()]
    view.ImagePositionPatient = [format_number_as_ds(float(value)) for value in plane.position]
    return view
