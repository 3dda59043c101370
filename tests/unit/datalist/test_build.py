"""Folders of every layout become datalists that medimg and MONAI read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from monai.data import load_decathlon_datalist

from medimg.datalist.build import build_datalist
from medimg.datalist.layouts import brats_patient
from medimg.datalist.read import read_datalist
from medimg.errors import UsageError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def written(folder, built):
    path = folder / "datalist.json"
    path.write_text(json.dumps(built.document))
    return path


def test_brats_with_old_names_and_new(tmp_path):
    touch(
        tmp_path, *(f"d/BraTS2021_00001/BraTS2021_00001_{part}.nii.gz" for part in ("t1", "t1ce", "t2", "flair", "seg"))
    )
    new = "BraTS-GLI-00002-000"
    touch(tmp_path, *(f"d/{new}/{new}-{part}.nii.gz" for part in ("t1n", "t1c", "t2w", "t2f", "seg")))
    touch(tmp_path, *(f"d/BraTS-GLI-00003-000/x-{part}.nii.gz" for part in ("t1n", "t1c", "t2w", "t2f")))
    touch(tmp_path, "d/BraTS-GLI-00004-000/x-t1n.nii.gz")
    built = build_datalist(tmp_path / "d", tmp_path)
    assert built.kind == "BraTS"
    assert [line.rpartition(": ")[2] for line in built.left_out] == ["no t1c, t2w, t2f"]
    second, first, test = read_datalist(written(tmp_path, built))
    assert [case.missing for case in (first, second, test)] == [(), (), ()]
    assert first.roles == second.roles == ("t1c", "t1n", "t2w", "t2f")
    assert [path.name for path in second.images] == [f"{new}-{role}.nii.gz" for role in second.roles]
    assert second.label_map.name == f"{new}-seg.nii.gz"
    assert (second.patient, test.section) == ("BraTS-GLI-00002", "testing")
    assert len(load_decathlon_datalist(str(tmp_path / "datalist.json"), True, "training")) == 2


@pytest.mark.parametrize(
    ("case", "patient"),
    [
        ("BraTS-GLI-00012-003", "BraTS-GLI-00012"),
        ("Brats18_2013_27_1", "2013_27"),
        ("Brats17_2013_27_1", "2013_27"),
        ("BraTS2021_00006", "BraTS2021_00006"),
    ],
)
def test_time_points_and_releases_share_their_patient(case, patient):
    assert brats_patient(case) == patient


def test_nnunet_with_several_channels(tmp_path):
    root = tmp_path / "Dataset001"
    touch(root, "imagesTr/A_0000.nii.gz", "imagesTr/A_0001.nii.gz", "labelsTr/A.nii.gz", "imagesTr/B_0000.nii.gz")
    touch(root, "imagesTs/C_0000.nii.gz", "imagesTs/C_0001.nii.gz")
    names = {"channel_names": {"0": "T1ce", "1": "FLAIR"}, "labels": {"background": 0, "tumour": 1}}
    (root / "dataset.json").write_text(json.dumps(names))
    built = build_datalist(root, tmp_path)
    assert (built.kind, built.document["labels"]) == ("nnU-Net", {"0": "background", "1": "tumour"})
    assert "case B has no label map" in built.left_out[0]
    first, test = read_datalist(written(tmp_path, built))
    assert (first.id, first.roles, first.missing) == ("A", ("t1c", "t2f"), ())
    assert (test.id, len(test.images)) == ("C", 2)


def test_luna16_with_scans_in_subsets(tmp_path):
    header = "seriesuid,coordX,coordY,coordZ,diameter_mm\n"
    (tmp_path / "annotations.csv").write_text(header + "1.2,1,2,3,6.5\n1.2,4,5,6,8\n1.9,0,0,0,5\n")
    (tmp_path / "annotations_excluded.csv").write_text(header + "1.3,7,8,9,-1\n")
    touch(tmp_path, "subset0/1.2.mhd", "subset0/1.2.raw", "subset1/1.3.mhd")
    built = build_datalist(tmp_path, tmp_path, folds=2)
    assert built.kind == "LUNA16"
    assert "no scan of series 1.9" in built.left_out[0]
    first, second = read_datalist(written(tmp_path, built))
    assert first.boxes.tolist() == [[1, 2, 3, 6.5, 6.5, 6.5], [4, 5, 6, 8, 8, 8]]
    assert (second.id, len(second.boxes), second.excluded.tolist()) == ("1.3", 0, [[7, 8, 9, -1, -1, -1]])
    assert {first.fold, second.fold} == {0, 1}


def test_a_folder_of_no_known_layout_is_refused(tmp_path):
    touch(tmp_path, "scan.nii.gz", "note.xml")
    with pytest.raises(UsageError, match="not laid out as LUNA16, LIDC-IDRI, BraTS or nnU-Net"):
        build_datalist(tmp_path, tmp_path)


def test_a_case_that_is_there_twice_is_refused(tmp_path):
    for folder in ("a/BraTS2021_1", "b/BraTS2021_1"):
        touch(tmp_path, *(f"{folder}/x_{part}.nii.gz" for part in ("t1", "t1ce", "t2", "flair", "seg")))
    with pytest.raises(UsageError, match="holds case BraTS2021_1 twice"):
        build_datalist(tmp_path, tmp_path)


@pytest.mark.real
def test_lidc_0001_is_the_nodule_that_luna16_lists(shared_data, tmp_path):
    built = build_datalist(shared_data / "lung" / "LIDC-IDRI-0001", tmp_path)
    (case,) = read_datalist(written(tmp_path, built))
    assert (built.kind, case.patient, case.missing) == ("LIDC-IDRI", "LIDC-IDRI-0001", ())
    rows = (shared_data / "lung" / "luna16" / "annotations.csv").read_text(encoding="utf-8").splitlines()
    (listed,) = (row.split(",")[1:] for row in rows if row.startswith(case.id))
    x, y, z, diameter = map(float, listed)
    assert len(case.boxes) == 1
    # LUNA16 rounds nothing and averages otherwise: a quarter of a voxel, half a millimetre of diameter
    assert np.abs(case.boxes[0, :3] - (x, y, z)).max() < 0.25
    assert abs(case.boxes[0, 3] - diameter) < 0.5
    assert case.entry["readers"] == [4]
    assert case.entry["ratings"][0]["malignancy"] == [5, 5, 5, 4]
    # nine nodules below 3 mm and thirteen non-nodules
    assert len(case.excluded) == 22
