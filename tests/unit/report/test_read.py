from __future__ import annotations

import contextlib
import json

import pytest

from medimg.errors import InputError
from medimg.report import read_report, write_report
from medimg.report.read import read_page


def test_a_folder_without_a_report_is_named(tmp_path):
    with pytest.raises(InputError, match=r"holds no report\.json"):
        read_report(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "medimg.report/9"}'])
def test_another_document_is_refused(text, tmp_path):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InputError, match=r"report\.json.*run infer again"):
        read_report(tmp_path)


def test_a_missing_label_map_is_named(detection, tmp_path):
    write_report(detection, {}, tmp_path, ["json", "nifti"])
    (tmp_path / "segmentation.nii.gz").unlink()
    with pytest.raises(InputError, match=r"segmentation\.nii\.gz"):
        read_report(tmp_path)


def test_a_cut_label_map_is_named(detection, tmp_path):
    write_report(detection, {}, tmp_path, ["json", "nifti"])
    path = tmp_path / "segmentation.nii.gz"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError, match=r"segmentation\.nii\.gz"):
        read_report(tmp_path)


def test_a_finding_without_its_fields_is_refused(detection, tmp_path):
    write_report(detection, {}, tmp_path, ["json"])
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    del document["findings"][0]["center_lps_mm"]
    (tmp_path / "report.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="center_lps_mm"):
        read_report(tmp_path)


def edited(folder, change):
    """report.json with one thing changed by hand."""
    document = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    change(document)
    (folder / "report.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "words"),
    [(lambda one, found: one.update(probability=7), "probability cannot be 7"),
     (lambda one, found: one.update(volume_mm3=-5), "volume_mm3 cannot be -5"),
     (lambda one, found: one.update(segment=99), "segment is 99, which is no label of the segmentation"),
     (lambda one, found: found["findings"].append(one), "two findings"),
     (lambda one, found: found["inputs"][0].update(affine_ras=[[1]]), "affine_ras is no affine"),
     (lambda one, found: one["measurements"].update(mean_axis_mm="wide"), "mean_axis_mm is no number"),
     (lambda one, found: found["pipeline"].update(name=["a"]), "pipeline.name is no text"),
     (lambda one, found: found.update(advice=[{"rule": 1}]), "rule is no text"),
     (lambda one, found: found.update(dicom=["SEG"]), "dicom is no object")],
)  # fmt: skip
def test_values_that_cannot_be_are_refused_by_name(change, words, detection, tmp_path):
    write_report(detection, {}, tmp_path, ["json", "nifti"])
    edited(tmp_path, lambda document: change(document["findings"][0], document))
    with pytest.raises(InputError, match=words):
        read_report(tmp_path)


PLACES = (
    ("pipeline",), ("inputs",), ("findings",), ("provenance",), ("warnings",), ("segmentation",),
    ("inputs", 0), ("inputs", 0, "shape"), ("inputs", 0, "headers"), ("findings", 0), ("findings", 0, "id"),
    ("findings", 0, "center_lps_mm"), ("findings", 0, "diameter_mm"), ("findings", 0, "segment"),
    ("findings", 0, "measurements"), ("provenance", "seconds"), ("segmentation", "labels"), ("segmentation", "path"),
)  # fmt: skip


@pytest.mark.parametrize("value", ["x", 7, [7], {"x": 7}, [None], True])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_a_report_edited_by_hand_is_refused_or_can_be_shown(place, value, detection, tmp_path):
    write_report(detection, {}, tmp_path, ["json", "nifti"])

    def change(document):
        *way, last = place
        for step in way:
            document = document[step]
        document[last] = value

    edited(tmp_path, change)
    with contextlib.suppress(InputError):
        write_report(read_report(tmp_path), {}, tmp_path / "again")


def test_a_label_map_of_another_grid_is_refused(detection, tmp_path):
    detection.inputs[0]["affine_ras"] = detection.segmentation.affine_ras.tolist()
    write_report(detection, {}, tmp_path, ["json", "nifti"])
    assert read_report(tmp_path).inputs[0]["shape"] == [60, 60, 30]
    edited(tmp_path, lambda document: document["inputs"][0].update(shape=[60, 60, 31]))
    with pytest.raises(InputError, match="is not on the scan's grid"):
        read_report(tmp_path)


def test_a_whole_page_is_named_and_half_of_one_is_not(detection, tmp_path):
    write_report(detection, {}, tmp_path, ["json", "nifti"])
    with pytest.raises(InputError, match=r"medimg report .* --format html"):
        read_page(tmp_path)
    write_report(detection, {}, tmp_path)
    page = read_page(tmp_path)
    assert page == tmp_path / "report.html"
    page.write_bytes(page.read_bytes()[:-20])
    with pytest.raises(InputError, match="cut short or edited"):
        read_page(tmp_path)
