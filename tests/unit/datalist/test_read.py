"""Datalists: what MONAI's decathlon JSON says of each case, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from monai.data import load_decathlon_datalist

from medimg.datalist.read import read_datalist
from medimg.errors import UsageError


@pytest.fixture
def datalist(tmp_path):
    def write(document):
        path = tmp_path / "datalist.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write


def test_a_segmentation_case_has_images_with_roles_and_a_label_map(tmp_path, datalist):
    entry = {"image": ["a/A_t1ce.nii.gz", "a/A_t2.nii.gz"], "label": "a/A_seg.nii.gz", "fold": 1}
    path = datalist({"modality": {"0": "t1ce", "1": "T2"}, "training": [entry]})
    (case,) = read_datalist(path)
    assert (case.id, case.roles, case.fold, case.patient) == ("A", ("t1c", "t2w"), 1, "A")
    assert case.label_map == tmp_path / "a" / "A_seg.nii.gz"
    assert len(case.missing) == 3
    # MONAI reads the same file and comes to the same paths
    (read,) = load_decathlon_datalist(str(path), True, "training")
    assert read["image"] == [str(image) for image in case.images]
    assert read["label"] == str(case.label_map)


def test_a_detection_case_has_boxes_in_lps(datalist):
    box = [[1, 2, 3, 4, 4, 4], [5, 6, 7, 8, 8, 8]]
    path = datalist({"training": [{"image": "x/1.2.3.nii.gz", "box": box, "label": [0, 0]}, {"image": "y", "box": []}]})
    first, second = read_datalist(path)
    assert first.id == "1.2.3"
    assert first.label is None
    assert np.array_equal(first.boxes, box)
    assert second.boxes.shape == (0, 6)
    assert load_decathlon_datalist(str(path), False, "training")[0]["box"] == box


def test_a_classification_case_has_a_number(datalist):
    (case,) = read_datalist(datalist({"validation": [{"image": "a.nii", "label": 1, "patient": "p"}]}))
    assert (case.label, case.label_map, case.patient, case.section) == (1, None, "p", "validation")


def test_the_decathlons_own_test_section_of_plain_paths_is_read(datalist):
    assert [c.id for c in read_datalist(datalist({"test": ["./imagesTs/A_0000.nii.gz", "B.nii.gz"]}))] == ["A", "B"]


def test_a_fold_is_its_cases_only_and_an_empty_one_is_said(datalist):
    path = datalist(
        {"training": [{"image": f"{name}.nii", "fold": fold} for name, fold in zip("abc", (0, 2, 0), strict=True)]}
    )
    assert [case.id for case in read_datalist(path, fold=0)] == ["a", "c"]
    with pytest.raises(UsageError, match="fold 1 is empty; the folds of its cases are 0, 2"):
        read_datalist(path, fold=1)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "cannot read the datalist"),
        ("[]", "is no datalist"),
        ({}, "holds no cases"),
        ({"training": {}}, "training must be a list"),
        ({"training": [{"label": 1}]}, r"training\[0\]: image must be a path"),
        ({"training": [{"image": []}]}, "image must be a path"),
        ({"training": [{"image": "a", "label": 1.5}]}, "label is a path, a number"),
        ({"training": [{"image": "a", "box": [[1, 2, 3]]}]}, "box must be a list"),
        ({"training": [{"image": "a", "box": [[1, 2, 3, 0, 1, 1]]}]}, "sides that are not above 0"),
        ({"training": [{"image": "a", "box": [[1, 2, 3, 1, 1, 1]], "label": []}]}, "1 boxes need as many labels"),
        ({"training": [{"image": "a", "fold": "0"}]}, "fold '0' is not a whole number"),
        ({"training": [{"image": "a.nii"}, {"image": "b/a.nii"}]}, "case a stands there twice"),
        ({"training": [{"image": "a", "id": "../a"}]}, "cannot be the name of a folder"),
        ({"modality": ["t1"], "training": [{"image": "a"}]}, "modality must map"),
    ],
)
def test_what_is_no_datalist_is_said_with_its_place(datalist, document, words):
    with pytest.raises(UsageError, match=words):
        read_datalist(datalist(document))
