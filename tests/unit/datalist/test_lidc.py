"""LIDC contours: of spheres whose place and size are known, drawn by several readers on a phantom's slices."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medimg.datalist.build import build_datalist
from medimg.datalist.lidc import Outline, merged, polygon

SPACING, STEP, ORIGIN = 0.7, 2.0, np.array([-30.0, -40.0, -100.0])
SLICES, SIZE = 20, 64
XMLNS = "http://www.nih.gov"


@pytest.fixture
def series(tmp_path):
    """A DICOM series of empty slices; its UID and the SOP UIDs from low to high."""
    uid, study = generate_uid(), generate_uid()
    sops = [generate_uid() for _ in range(SLICES)]
    for number, sop in enumerate(sops):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, sop
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_ = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, sop
        slice_.StudyInstanceUID, slice_.SeriesInstanceUID, slice_.PatientID = study, uid, "LIDC-IDRI-9999"
        slice_.Modality, slice_.Rows, slice_.Columns = "CT", SIZE, SIZE
        slice_.ImagePositionPatient = [*ORIGIN[:2], ORIGIN[2] + number * STEP]
        slice_.ImageOrientationPatient, slice_.PixelSpacing = [1, 0, 0, 0, 1, 0], [SPACING, SPACING]
        slice_.BitsAllocated = slice_.BitsStored = 16
        slice_.HighBit, slice_.PixelRepresentation, slice_.SamplesPerPixel = 15, 1, 1
        slice_.PhotometricInterpretation, slice_.RescaleIntercept, slice_.RescaleSlope = "MONOCHROME2", -1024, 1
        slice_.PixelData = bytes(2 * SIZE * SIZE)
        pydicom.dcmwrite(tmp_path / f"{number:03}.dcm", slice_)
    return uid, sops


def circle(sop, z, centre, radius):
    """A contour of a sphere on one slice, in pixels; "" where the slice misses it."""
    across = radius**2 - (z - centre[2]) ** 2
    if across <= 0:
        return ""
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    points = (centre[:2] + np.sqrt(across) * np.c_[np.cos(angle), np.sin(angle)] - ORIGIN[:2]) / SPACING
    edges = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)
    return f"<roi><imageSOP_UID>{sop}</imageSOP_UID><inclusion>TRUE</inclusion>{edges}</roi>"


def sphere(sops, centre, radius, malignancy=3):
    rois = "".join(circle(sop, ORIGIN[2] + n * STEP, centre, radius) for n, sop in enumerate(sops))
    ratings = f"<characteristics><malignancy>{malignancy}</malignancy></characteristics>"
    return f"<unblindedReadNodule><noduleID>1</noduleID>{ratings}{rois}</unblindedReadNodule>"


def point(sop, column, row, tag="unblindedReadNodule"):
    place = f"<xCoord>{column}</xCoord><yCoord>{row}</yCoord>"
    if tag == "nonNodule":
        return f"<nonNodule><imageSOP_UID>{sop}</imageSOP_UID><locus>{place}</locus></nonNodule>"
    return f"<{tag}><roi><imageSOP_UID>{sop}</imageSOP_UID><edgeMap>{place}</edgeMap></roi></{tag}>"


def place(column, row, number):
    """Where a pixel of a slice lies, LPS mm."""
    return ORIGIN + np.array([column * SPACING, row * SPACING, number * STEP])


def reading(uid, sessions):
    body = "".join(f"<readingSession>{session}</readingSession>" for session in sessions)
    header = f"<ResponseHeader><SeriesInstanceUid>{uid}</SeriesInstanceUid></ResponseHeader>"
    return f'<LidcReadMessage xmlns="{XMLNS}">{header}{body}</LidcReadMessage>'


def test_what_three_readers_outline_is_a_nodule_and_the_rest_is_excluded(tmp_path, series):
    uid, sops = series
    agreed, alone = np.array([-10.0, -15.0, -80.0]), np.array([5.0, -30.0, -75.0])
    shifts = ([0, 0, 0], [0.5, 0, 0], [0, -0.5, 0.5])
    sessions = [sphere(sops, agreed + shift, 6.0, malignancy=m) for shift, m in zip(shifts, (2, 3, 5), strict=True)]
    sessions.append(sphere(sops, alone, 5.0) + point(sops[3], 10, 20) + point(sops[4], 30, 40, "nonNodule"))
    (tmp_path / "reading.xml").write_text(reading(uid, sessions))
    built = build_datalist(tmp_path, tmp_path)
    (entry,) = built.document["training"]
    assert (entry["id"], entry["patient"], entry["readers"]) == (uid, "LIDC-IDRI-9999", [3])
    (box,) = entry["box"]
    np.testing.assert_allclose(box[:3], agreed + np.mean(shifts, axis=0), atol=0.1)
    np.testing.assert_allclose(box[3:], [12.0] * 3, atol=0.2)
    assert entry["ratings"][0]["malignancy"] == [2, 3, 5]
    single, small, non = entry["excluded_box"]
    np.testing.assert_allclose(single[:4], [*alone, 10.0], atol=0.2)
    np.testing.assert_allclose(small, [*place(10, 20, 3), -1, -1, -1])
    np.testing.assert_allclose(non, [*place(30, 40, 4), -1, -1, -1])


def test_a_reading_of_a_series_that_is_not_there_is_left_out_and_said(tmp_path, series):
    (tmp_path / "a.xml").write_text(reading(series[0], []))
    (tmp_path / "b.xml").write_text(reading("1.2.3", []))
    built = build_datalist(tmp_path, tmp_path)
    assert len(built.document["training"]) == 1
    assert built.left_out[0].endswith("b.xml: no DICOM series 1.2.3")


def test_outlines_of_one_reader_apart_are_two_nodules():
    near = [Outline(reader, np.array([reader * 1.0, 0, 0]), 6.0, {}) for reader in range(3)]
    far = Outline(3, np.array([30.0, 0, 0]), 6.0, {})
    assert sorted(len(group) for group in merged([near[0], far, near[1], near[2]])) == [1, 3]


def test_the_polygon_of_a_square():
    area, centre = polygon(np.array([[1.0, 1.0], [3.0, 1.0], [3.0, 3.0], [1.0, 3.0]]))
    assert (area, centre.tolist()) == (4.0, [2.0, 2.0])
    assert polygon(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]))[0] == 0.0
