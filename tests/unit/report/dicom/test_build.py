"""Every object of a report: the same again for the same input, and one that cannot be made costs no other."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pydicom
import pytest
from conformance import results

from medimg.report.dicom import build
from medimg.report.dicom.build import KINDS, DicomOptions, build_dicom
from medimg.results import Finding, Segmentation

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

DATES = {
    "ContentDate", "ContentTime", "InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime",
    "StructureSetDate", "StructureSetTime", "ContributionDateTime",
}  # fmt: skip
"""The attributes in which two runs may differ; docs/output.md lists them."""


def bytes_of(dataset: pydicom.Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def built(report, volume, kinds=("seg", "sr"), **options):
    return build_dicom(report, {"ct": volume}, kinds, DicomOptions(**options))


def test_the_same_report_gives_the_same_bytes(scanned):
    volume = scanned()
    one, other = (results.build(volume, tuple(KINDS)).objects for _ in range(2))
    assert set(one) == set(KINDS.values())
    digests = [{name: hashlib.sha256(bytes_of(each)).hexdigest() for name, each in run.items()} for run in (one, other)]
    assert digests[0] == digests[1]


def test_a_later_run_differs_in_its_dates_alone(scanned):
    volume = scanned()
    report = results.labelled(volume)
    first = built(report, volume, tuple(KINDS)).objects
    report.provenance["started"] = "2026-03-04T05:06:07+00:00"
    second = built(report, volume, tuple(KINDS)).objects
    for name in set(first) - {KINDS["epdf"]}:  # a PDF prints when it was made
        changed = {
            element.keyword
            for element, other in zip(first[name].iterall(), second[name].iterall(), strict=True)
            if element.VR != "SQ" and element != other
        }
        assert changed
        assert changed <= DATES
    assert first[KINDS["epdf"]].SOPInstanceUID == second[KINDS["epdf"]].SOPInstanceUID


def test_another_result_is_another_instance_of_the_same_series(scanned):
    volume = scanned()
    report = results.labelled(volume)
    first = built(report, volume).objects["segmentation.dcm"]
    report.segmentation.array[0, 0, 0] = 1
    second = built(report, volume).objects["segmentation.dcm"]
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SegmentSequence[0].TrackingUID == second.SegmentSequence[0].TrackingUID


@pytest.mark.parametrize("changed", ["model", "scan"])
def test_another_model_or_scan_is_another_series(scanned, changed):
    volume = scanned()
    report = results.labelled(volume)
    first = built(report, volume).objects["segmentation.dcm"]
    if changed == "model":
        report.pipeline["sha256"] = "cd" * 32
    else:
        report.inputs[0]["sha256"] = "ef" * 32
    second = built(report, volume).objects["segmentation.dcm"]
    assert first.SeriesInstanceUID != second.SeriesInstanceUID


def test_each_object_says_which_model_made_it(scanned):
    for dataset in results.build(scanned(), tuple(KINDS)).objects.values():
        assert (dataset.Manufacturer, dataset.ManufacturerModelName) == ("medimg", "lung_nodule")
        assert dataset.DeviceSerialNumber == "ab" * 32
        ours = [item for item in dataset.ContributingEquipmentSequence if item.Manufacturer == "medimg"]
        assert "Not a medical device" in ours[0].ContributionDescription
        assert ours[0].PurposeOfReferenceCodeSequence[0].CodeMeaning == "Processing Equipment"


def test_segments_and_groups_carry_one_tracking_uid(scanned):
    made = results.build(scanned())
    seg = made.objects["segmentation.dcm"]
    assert [item.SegmentAlgorithmType for item in seg.SegmentSequence] == ["AUTOMATIC"] * 2
    in_seg = {item.TrackingID: str(item.TrackingUID) for item in seg.SegmentSequence}
    in_sr = {
        str(element.value)
        for element in made.objects["report.dcm"].iterall()
        if element.keyword == "UID" and str(element.value) in in_seg.values()
    }
    assert set(in_seg.values()) == in_sr
    assert made.document is not None
    assert made.document["tracking_uids"] == in_seg


def test_a_scan_that_is_no_dicom_has_no_dicom_results(scanned):
    volume = scanned()
    bare = results.labelled(volume)
    source = type(volume.source)(path=volume.source.path, kind="nifti")
    nothing = build_dicom(bare, {"ct": type(volume)(volume.array, volume.affine_ras, source)}, ("seg", "sr"))
    assert (nothing.objects, nothing.failed, nothing.document) == ({}, [], None)


def test_one_object_that_cannot_be_made_costs_no_other(scanned, monkeypatch):
    def fail(*_arguments):
        raise ValueError("no ink\nleft")

    monkeypatch.setattr(build, "build_pdf", fail)
    volume = scanned()
    made = built(results.labelled(volume), volume, ("seg", "sr", "epdf"))
    assert set(made.objects) == {"segmentation.dcm", "report.dcm"}
    assert made.failed == ["report_pdf.dcm was not written: the report fits no such DICOM object: no ink left"]


def test_without_a_segmentation_that_fits_the_report_is_written_still(scanned):
    volume = scanned()
    report = results.labelled(volume)
    shifted = report.segmentation.affine_ras.copy()
    shifted[:3, 3] += 1.3
    report.segmentation = Segmentation(report.segmentation.array, shifted, report.segmentation.labels)
    made = built(report, volume)
    assert set(made.objects) == {"report.dcm"}
    assert made.failed[0].startswith("segmentation.dcm was not written: series 2.25.7 does not fit the label map")
    surfaces = [e for e in made.objects["report.dcm"].iterall() if e.keyword == "GraphicType"]
    assert [element.value for element in surfaces] == ["ELLIPSOID"] * 2


def test_a_finding_without_an_outline_is_an_ellipsoid_of_its_diameter(scanned):
    volume = scanned()
    report = results.labelled(volume)
    report.findings.append(Finding("nodule-3", "nodule", (1.0, 2.0, 3.0), 4.0, None, None, 0.2))
    sr = built(report, volume).objects["report.dcm"]
    (data,) = [element.value for element in sr.iterall() if element.keyword == "GraphicData"]
    ends = np.array(data, float).reshape(6, 3)
    assert np.allclose(ends.mean(axis=0), (1, 2, 3))
    assert np.allclose(np.linalg.norm(ends[::2] - ends[1::2], axis=1), 4.0)


@pytest.mark.parametrize("seg_type", ["binary", "fractional", "labelmap"])
def test_a_lesion_of_several_labels_has_a_segment_of_its_own_where_segments_may_overlap(scanned, seg_type):
    volume = scanned()
    report = results.labelled(volume)
    array = np.zeros(volume.shape, np.uint8)
    array[2:5, 2:6, 1:4], array[5:7, 2:6, 1:4] = 1, 2
    voxels = np.argwhere(array > 0)
    centre = tuple(results.geometry.ras_to_lps(results.geometry.to_world(volume.affine_ras, voxels.mean(axis=0))))
    report.segmentation = Segmentation(array, volume.affine_ras, {1: "oedema", 2: "enhancing tumour"})
    report.findings = [Finding("tumour-1", "tumour", centre, 6.0, 100.0, None)]
    seg = built(report, volume, seg_type=seg_type).objects["segmentation.dcm"]
    names = [str(item.SegmentLabel) for item in seg.SegmentSequence if item.SegmentNumber > 0]
    whole = [] if seg_type == "labelmap" else ["tumour-1"]
    assert names == ["oedema", "enhancing tumour", *whole]
    if whole:
        union = np.concatenate([results.points_of_labels(report, value) for value in (1, 2)])
        results.assert_same_points(results.points_of_segment(seg, 3), results.in_order(union), results.ROUNDING_MM)


def test_all_of_255_labels_and_the_findings_beyond_them_go_out(scanned):
    volume = scanned()
    report = results.labelled(volume)
    array = np.zeros(volume.shape, np.uint8)
    array.ravel()[: 255 * 7 : 7] = np.arange(1, 256)
    report.segmentation = Segmentation(array, volume.affine_ras, {n: f"nodule-{n}" for n in range(1, 256)})
    report.findings = [
        Finding(f"nodule-{n}", "nodule", (float(n), 0.0, 0.0), 4.0, None, None, 0.5, n if n < 256 else None)
        for n in range(253, 259)
    ]
    made = built(report, volume)
    assert made.failed == []
    assert len(made.objects["segmentation.dcm"].SegmentSequence) == 255
    surfaces = [element for element in made.objects["report.dcm"].iterall() if element.keyword == "GraphicType"]
    assert len(surfaces) == 3


def test_empty_frames_are_kept_on_request(scanned):
    volume = scanned()
    assert results.build(volume).objects["segmentation.dcm"].NumberOfFrames < 16
    assert results.build(volume, empty_frames=True).objects["segmentation.dcm"].NumberOfFrames == 2 * 8


def test_the_picture_and_the_print_are_what_their_objects_hold(scanned):
    objects = results.build(scanned(), ("epdf", "sc")).objects
    document = objects["report_pdf.dcm"]
    assert bytes(document.EncapsulatedDocument).startswith(b"%PDF-")
    assert document.EncapsulatedDocumentLength in (
        len(document.EncapsulatedDocument),
        len(document.EncapsulatedDocument) - 1,
    )
    picture = objects["key_image.dcm"]
    assert len(picture.PixelData) - picture.Rows * picture.Columns * 3 in (0, 1)
    assert len(np.unique(picture.pixel_array)) > 50


def test_contours_enclose_what_is_labelled(scanned):
    """The area that a slice's rings enclose, holes taken off, is that of its pixels without their outer halves."""
    volume = scanned()
    report = results.labelled(volume)
    report.segmentation.array[:] = 0
    report.segmentation.array[3:13, 4:16, 2] = 1
    report.segmentation.array[6:9, 8:11, 2] = 0
    (roi,) = built(report, volume, ("rtstruct",)).objects["rtstruct.dcm"].ROIContourSequence
    rings = [np.array(contour.ContourData, float).reshape(-1, 3) for contour in roi.ContourSequence]
    assert len(rings) == 2
    outer, hole = sorted(map(_area, rings), reverse=True)
    # midway between centres: every side gains half a pixel, corners are cut
    assert outer == pytest.approx(10 * 12 * 2.0, rel=0.02)
    assert hole == pytest.approx(3 * 3 * 2.0, rel=0.1)
    box = np.concatenate(
        [results.points_of_labels(report, 1).min(axis=0), results.points_of_labels(report, 1).max(axis=0)]
    )
    drawn = np.concatenate([rings[0].min(axis=0), rings[0].max(axis=0)])
    assert np.allclose(drawn - box, [-0.5, -1.0, 0, 0.5, 1.0, 0], atol=1e-3)
    image = roi.ContourSequence[0].ContourImageSequence[0].ReferencedSOPInstanceUID
    header = next(h for h in map(pydicom.dcmread, volume.source.files) if h.SOPInstanceUID == image)
    assert float(header.ImagePositionPatient[2]) == pytest.approx(rings[0][0, 2])


def _area(ring) -> float:
    """Of a polygon in an axial plane, by the shoelace formula."""
    x, y = ring[:, 0], ring[:, 1]
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
