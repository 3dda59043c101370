"""SEG and SR before the tools that others judge them by: dciodvfy, dsrdump, dcmqi's readers, highdicom."""

from __future__ import annotations

import json
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from conformance import advice, results
from conformance.cases.enhanced import Slice, enhanced
from conformance.cases.geometry import DIRECTIONS, normal, turned
from conformance.cases.phantom import AXIAL, Phantom, line

from medimg.dicom.discover import discover
from medimg.dicom.series import read_series
from medimg.report.dicom.build import KINDS, build_dicom
from medimg.study import Volume

NOT_KNOWN_YET = ("Information Object Not found", "SegmentNumber not monotonically", "Referenced SOP Class that is not")
"""What dicom3tools of 2022 says of a Label Map Segmentation (Supplement 243 of 2023): it knows neither its class nor
its background segment 0."""

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def scanned(folder: Path, orientation=AXIAL, step=(0, 0, 3), modality: str = "CT") -> Volume:
    folder.mkdir()
    scan = Phantom(folder)
    scan.slices(line(8, step=step), orientation=orientation, modality=modality)
    return read(folder)


def read(folder: Path) -> Volume:
    (series,) = discover(folder).series
    (volume,) = read_series(series).volumes
    return volume


def written(volume: Volume, folder: Path, kinds=("seg", "sr"), **options) -> dict[str, Path]:
    built = results.build(volume, kinds, **options)
    paths = {kind: folder / KINDS[kind] for kind in kinds}
    for kind, path in paths.items():
        built.objects[KINDS[kind]].save_as(path, enforce_file_format=True)
    return paths


@pytest.mark.parametrize("seg_type", ["binary", "fractional"])
def test_dciodvfy_finds_no_error_in_any_object(tmp_path, seg_type):
    paths = written(scanned(tmp_path / "dicom"), tmp_path, tuple(KINDS), seg_type=seg_type)
    assert {kind: results.errors_of(path) for kind, path in paths.items()} == {kind: [] for kind in KINDS}


def test_dciodvfy_finds_no_error_in_a_label_map_but_what_it_does_not_know(tmp_path):
    paths = written(scanned(tmp_path / "dicom"), tmp_path, seg_type="labelmap")
    errors = [error for path in paths.values() for error in results.errors_of(path)]
    assert [error for error in errors if not any(known in error for known in NOT_KNOWN_YET)] == []


def test_dciodvfy_finds_no_error_when_nothing_was_found(tmp_path):
    volume = scanned(tmp_path / "dicom")
    report = results.labelled(volume)
    report.findings.clear()
    report.segmentation.array[:] = 0
    built = build_dicom(report, {"ct": volume}, ("seg", "sr"))
    assert set(built.objects) == {"report.dcm"}
    built.objects["report.dcm"].save_as(tmp_path / "report.dcm", enforce_file_format=True)
    assert results.errors_of(tmp_path / "report.dcm") == []
    (group,) = _tid1500(tmp_path / "report.dcm", tmp_path)["Measurements"]
    assert group["Finding"]["CodeMeaning"] == "Nodule"
    assert [(item["quantity"]["CodeValue"], float(item["value"])) for item in group["measurementItems"]] == [
        ("246206008", 0.0)
    ]
    absent = {item["conceptCode"]["CodeMeaning"]: item["conceptValue"] for item in group["qualitativeEvaluations"]}
    assert absent["Nodule"]["CodeMeaning"] == "Absent"


@pytest.mark.parametrize("where", DIRECTIONS)
def test_dcmqi_reads_the_segments_where_they_are(tmp_path, where):
    cosines, sign = DIRECTIONS[where]
    volume = scanned(tmp_path / "dicom", cosines, 3 * sign * normal(cosines))
    _same_in_dcmqi(volume, tmp_path)


def test_dcmqi_reads_the_segments_of_a_multi_frame_image_where_they_are(tmp_path):
    folder = tmp_path / "dicom"
    folder.mkdir()
    order = np.random.default_rng(1).permutation(8)
    enhanced(Phantom(folder), [Slice(line(8)[n]) for n in order])
    _same_in_dcmqi(read(folder), tmp_path)


def _same_in_dcmqi(volume: Volume, folder: Path) -> None:
    """Voxel for voxel and centroid for centroid, as segimage2itkimage places them."""
    paths = written(volume, folder, ("seg",))
    output = folder / "itk"
    output.mkdir()
    results.run("segimage2itkimage", "--inputDICOM", paths["seg"], "--outputDirectory", output, "-t", "nrrd")
    report = results.labelled(volume)
    for number, finding in enumerate(report.findings, start=1):
        image = sitk.ReadImage(str(output / f"{number}.nrrd"))
        found = np.argwhere(sitk.GetArrayFromImage(image) == number)[:, ::-1].tolist()
        points = np.array([image.TransformIndexToPhysicalPoint(index) for index in found])
        truth = results.points_of_labels(report, number)
        results.assert_same_points(results.in_order(points), truth, results.ROUNDING_MM)
        assert np.allclose(points.mean(axis=0), finding.center_lps_mm, atol=results.ROUNDING_MM)


@pytest.mark.parametrize("seg_type", ["binary", "fractional", "labelmap"])
def test_dcmqi_and_highdicom_read_every_kind_of_segmentation(tmp_path, seg_type):
    volume = scanned(tmp_path / "dicom")
    path = written(volume, tmp_path, ("seg",), seg_type=seg_type)["seg"]
    results.run("segimage2itkimage", "--inputDICOM", path, "--outputDirectory", tmp_path, "-t", "nrrd")
    assert list(tmp_path.glob("*.nrrd"))
    seg = hd.seg.segread(path)
    assert seg.segmentation_type.value == seg_type.upper()
    assert seg.segment_numbers == [1, 2]
    uids = [str(uid) for uid in sorted(str(im.SOPInstanceUID) for im in _headers(volume))]
    sources = [str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in volume.source.files]
    assert sorted(sources) == uids
    how = {"combine_segments": seg_type != "fractional", "rescale_fractional": False}
    pixels = seg.get_pixels_by_source_instance(sources, assert_missing_frames_are_empty=True, **how)
    if seg_type == "fractional":
        pixels = (pixels / 255) @ np.array([1, 2])
    truth = results.labelled(volume).segmentation.array[:, ::-1].transpose(2, 1, 0)
    assert np.array_equal(pixels, truth)


def _headers(volume: Volume) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in volume.source.files]


def test_a_tilted_stack_is_no_grid_and_its_frames_still_lie_right(tmp_path):
    volume = scanned(tmp_path / "dicom", turned(AXIAL, 15))
    path = written(volume, tmp_path, ("seg",))["seg"]
    assert results.errors_of(path) == []
    seg = pydicom.dcmread(path)
    report = results.labelled(volume)
    for number in (1, 2):
        drawn, truth = results.points_of_segment(seg, number), results.points_of_labels(report, number)
        results.assert_same_points(drawn, truth, results.ROUNDING_MM)


def _tid1500(path: Path, folder: Path) -> dict:
    results.run("tid1500reader", "--inputDICOM", path, "--outputMetadata", folder / "tid1500.json")
    return json.loads((folder / "tid1500.json").read_text(encoding="utf-8"))


def test_tid1500reader_reads_every_finding_with_its_numbers_and_its_segment(tmp_path):
    paths = written(scanned(tmp_path / "dicom"), tmp_path)
    document = _tid1500(paths["sr"], tmp_path)
    first, second = document["Measurements"]
    assert (first["TrackingIdentifier"], second["TrackingIdentifier"]) == ("nodule-1", "nodule-2")
    assert (first["ReferencedSegment"], second["ReferencedSegment"]) == (1, 2)
    assert first["segmentationSOPInstanceUID"] == str(pydicom.dcmread(paths["seg"]).SOPInstanceUID)
    assert first["Finding"]["CodeValue"] == "27925004"
    assert first["FindingSite"]["CodeValue"] == "39607008"
    assert first["measurementAlgorithmIdentification"]["AlgorithmParameters"] == ["sha256=" + "ab" * 32]
    values = {
        (item["quantity"]["CodingSchemeDesignator"], item["quantity"]["CodeValue"]): (
            float(item["value"]),
            item["units"]["CodeValue"],
        )
        for item in first["measurementItems"]
    }
    assert values["DCM", "111012"] == (75.0, "%")
    assert values["SCT", "81827009"] == (5.0, "mm")
    assert values["SCT", "103339001"] == (6.5, "mm")
    assert values["DCM", "112181"] == (-31.5, "[hnsf'U]")
    assert values["99MEDIMG", "novel_index"] == (0.25, "1")
    yes = [item["conceptValue"]["CodeMeaning"] for item in first["qualitativeEvaluations"]]
    assert "Yes" in yes


@pytest.fixture
def advised_report(tmp_path):
    """report.dcm of two nodules with the scan's own measurements and advice on them."""
    volume = scanned(tmp_path / "dicom")
    built = build_dicom(advice.advised(results.labelled(volume)), {"ct": volume}, ("seg", "sr"))
    assert built.failed == []
    built.objects["report.dcm"].save_as(tmp_path / "report.dcm", enforce_file_format=True)
    return tmp_path / "report.dcm"


def _numbers_of(group: dict) -> list[tuple[str, str, float, str | None]]:
    return [
        (
            item["quantity"]["CodingSchemeDesignator"],
            item["quantity"]["CodeValue"],
            float(item["value"]),
            item.get("derivationModifier", {}).get("CodeMeaning"),
        )
        for item in group["measurementItems"]
    ]


def _words_of(group: dict) -> dict[str, str]:
    said = group["qualitativeEvaluations"]
    return {item["conceptCode"]["CodeValue"]: item["conceptValue"]["CodeValue"] for item in said}


def test_advice_and_the_scans_own_measurements_are_codes_that_others_read(advised_report, tmp_path):
    assert results.errors_of(advised_report) == []
    first, _, scan = _tid1500(advised_report, tmp_path)["Measurements"]
    assert ("SCT", "246206008", 2.0, None) in _numbers_of(scan)
    assert ("99MEDIMG", "whole_mm3", 12.5, None) in _numbers_of(scan)
    cancer = [(value, kind) for _, code, value, kind in _numbers_of(first) if code == "111047"]
    assert [kind for _, kind in cancer] == ["Minimum", "Maximum"] * 2
    assert all(0 < value < 100 for value, _ in cancer)
    for group in (first, scan):
        words = _words_of(group)
        # what is known of the nodule leaves a range: its ends, and never an assessment
        assert (words["lung_rads_least"], words["lung_rads_most"]) == ("RID50136", "RID50139")
        assert "RID50134" not in words


def test_the_words_of_the_advice_stand_in_the_report_in_full(advised_report):
    report = pydicom.dcmread(advised_report)
    texts = [
        item.TextValue
        for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Recommendation"
    ]
    assert len(texts) == 1 + 2 * 4
    assert texts[0].startswith("Lung-RADS v2022, scan: 1 to 4A. ")
    assert all("Not known:" in text or "not applicable" in text for text in texts)


def test_a_category_without_a_doubt_is_radlexs_assessment(tmp_path):
    volume = scanned(tmp_path / "dicom")
    report = results.labelled(volume)
    report.findings.clear()
    report.segmentation.array[:] = 0
    built = build_dicom(advice.advised(report), {"ct": volume}, ("sr",))
    built.objects["report.dcm"].save_as(tmp_path / "report.dcm", enforce_file_format=True)
    assert results.errors_of(tmp_path / "report.dcm") == []
    (group,) = _tid1500(tmp_path / "report.dcm", tmp_path)["Measurements"]
    assert _words_of(group)["RID50134"] == "RID50136"
    assert ("SCT", "246206008", 0.0, None) in _numbers_of(group)


def test_dsrdump_reads_the_report(tmp_path):
    text = results.run("dsrdump", "+Pc", "+Pl", written(scanned(tmp_path / "dicom"), tmp_path)["sr"])
    assert '(126000,DCM,"Imaging Measurement Report")' in text
    assert text.count("Tracking Unique Identifier") == 2
    assert "Not a medical device" in text
