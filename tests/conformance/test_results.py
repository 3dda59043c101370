"""SEG and SR of every case of the catalogue: each labelled voxel comes out where it lies, on the image it lies on."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from conformance import results
from conformance.cases import CASES, Case
from conformance.cases.case import CannotBeMadeError
from conformance.cases.phantom import Phantom

from medimg.dicom.discover import discover
from medimg.dicom.series import read_series
from medimg.report.dicom.build import build_dicom
from medimg.study import Volume

SOUND = [case for case in CASES if case.theme in ("geometry", "enhanced", "mosaic", "repeats")]
"""Cases in which slices lie oddly; the others differ in what the files or the pixels hold."""


def volumes_of(case: Case, folder: Path) -> list[Volume]:
    folder.mkdir()
    try:
        case.write(Phantom(folder))
    except CannotBeMadeError as error:
        pytest.skip(str(error))
    return [volume for series in discover(folder).series for volume in read_series(series).volumes]


def read_back(dataset: pydicom.Dataset) -> pydicom.Dataset:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("case", SOUND, ids=[f"{case.theme}-{case.name}" for case in SOUND])
def test_every_labelled_voxel_of_a_case_comes_out_where_it_lies(case: Case, tmp_path: Path):
    volumes = volumes_of(case, tmp_path / "dicom")
    for volume in volumes:
        report = results.labelled(volume)
        built = build_dicom(report, {"ct": volume}, ("seg",))
        assert built.failed == []
        seg = read_back(built.objects["segmentation.dcm"])
        for number in (1, 2):
            drawn, truth = results.points_of_segment(seg, number), results.points_of_labels(report, number)
            results.assert_same_points(drawn, truth, results.ROUNDING_MM)
        check_references(seg, volume)


def check_references(seg: pydicom.Dataset, volume: Volume) -> None:
    """Each frame names the very image (and frame) that lies where the frame does."""
    headers = {}
    for path in volume.source.files:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        headers[str(header.SOPInstanceUID)] = header
    named = {str(item.ReferencedSOPInstanceUID) for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert named == set(headers)
    for groups in seg.PerFrameFunctionalGroupsSequence:
        (image,) = groups.DerivationImageSequence[0].SourceImageSequence
        if image.SpatialLocationsPreserved == "YES":
            place = position_of(headers[str(image.ReferencedSOPInstanceUID)], image.get("ReferencedFrameNumber"))
            drawn = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
            assert np.allclose(place, drawn, atol=results.ROUNDING_MM)


def position_of(header: pydicom.Dataset, frame: int | None) -> np.ndarray:
    if frame is not None:
        header = header.PerFrameFunctionalGroupsSequence[int(frame) - 1].PlanePositionSequence[0]
    values = header["ImagePositionPatient"].value
    return np.array([float(str(value).replace(",", ".")) for value in values])
