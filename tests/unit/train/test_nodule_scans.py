"""Whole chest CTs with annotated nodules, from a datalist: where everything is, and what of it is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from medimg import geometry
from medimg.errors import TrainingError, UsageError
from medimg.train.cases import read_cases
from medimg.train.nodule_canvas import SIZE
from medimg.train.nodule_scans import CROP_MM, prepare
from medimg.train.nodules import NoduleTask
from medimg.train.shape import NODULE, described_cases
from medimg.volumes import write_nifti

AFFINE = np.array([[-2.0, 0, 0, 90], [0, -2.0, 0, 70], [0, 0, 2.0, -50], [0, 0, 0, 1]])
LUNG, TISSUE = -850, 40
NODULE_VOXEL, NODULE_MM = np.array([25.0, 40.0, 28.0]), 12.0
EXCLUDED_VOXEL = np.array([66.0, 30.0, 35.0])


def lps(voxel):
    return geometry.ras_to_lps(geometry.to_world(AFFINE, voxel)).tolist()


def chest(with_nodule):
    """Two lungs in tissue at 2 mm, in one of them a ball."""
    hu = np.full((90, 76, 60), TISSUE, np.int16)
    grid = np.moveaxis(np.indices(hu.shape), 0, -1)
    for centre in ((25, 38, 30), (65, 38, 30)):
        hu[(((grid - np.array(centre)) / (16, 26, 27)) ** 2).sum(-1) <= 1] = LUNG
    if with_nodule:
        hu[(((grid - NODULE_VOXEL) * 2.0) ** 2).sum(-1) <= (NODULE_MM / 2) ** 2] = TISSUE
    return hu


def box(voxel, diameter):
    return [*lps(voxel), *[diameter] * 3]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six scans, three of them with the nodule, as a datalist."""
    folder = tmp_path_factory.mktemp("chests")
    entries = []
    for number in range(6):
        write_nifti(folder / f"ct{number}.nii.gz", chest(number % 2 == 0), AFFINE)
        boxes = [box(NODULE_VOXEL, NODULE_MM)] if number % 2 == 0 else []
        entry = {"image": f"ct{number}.nii.gz", "box": boxes, "label": [0] * len(boxes), "fold": number // 2}
        entries.append({**entry, "excluded_box": [box(EXCLUDED_VOXEL, -1.0)]})
    path = folder / "datalist.json"
    path.write_text(json.dumps({"training": entries}), encoding="utf-8")
    return path


def test_a_nodule_lies_where_its_box_says_and_is_cut_out_with_its_outline(data):
    prepared = prepare(read_cases(data)[0])
    scan, (crop,) = prepared.scan, prepared.crops
    assert scan is not None
    i, j, k = np.rint(scan.nodules[0, :3]).astype(int)
    assert scan.hu[i, j, k] == TISSUE
    assert scan.lung[i, j, k]
    assert scan.nodules[0, 3] == NODULE_MM
    place = geometry.ras_to_lps(geometry.to_world(scan.affine_ras, scan.nodules[0, :3]))
    np.testing.assert_allclose(place, lps(NODULE_VOXEL), atol=1e-6)
    assert max(crop.hu.shape) <= CROP_MM
    np.testing.assert_allclose(np.argwhere(crop.mask).mean(axis=0), crop.centre, atol=1.5)
    assert 0.5 < crop.mask.sum() / (np.pi / 6 * NODULE_MM**3) < 1.6
    assert crop.hu[crop.mask].min() > LUNG


def test_what_is_excluded_is_neither_nodule_nor_background(data):
    scan = prepare(read_cases(data)[1]).scan
    assert len(scan.nodules) == 0
    np.testing.assert_allclose(
        geometry.ras_to_lps(geometry.to_world(scan.affine_ras, scan.ignore[0, :3])), lps(EXCLUDED_VOXEL), atol=1e-6
    )
    assert scan.ignore[0, 3] >= 5


def test_an_excerpt_without_lungs_gives_its_nodule_alone(data, tmp_path):
    part = chest(True)[10:40, 25:55, 15:45]
    moved = AFFINE.copy()
    moved[:3, 3] = geometry.to_world(AFFINE, np.array([10.0, 25, 15]))
    write_nifti(tmp_path / "part.nii.gz", part, moved)
    entry = {"image": "part.nii.gz", "box": [box(NODULE_VOXEL, NODULE_MM)], "label": [0]}
    (tmp_path / "d.json").write_text(json.dumps({"training": [entry]}), encoding="utf-8")
    prepared = prepare(read_cases(tmp_path / "d.json")[0])
    assert prepared.scan is None
    i, j, k = np.rint(prepared.crops[0].centre).astype(int)
    assert prepared.crops[0].hu[i, j, k] == TISSUE


def make_task(data, **options):
    mix = {"reflected": 1, "embedded": 1, "pasted": 1, "scan_nodule": 2, "background": 1, "mined": 1}
    return NoduleTask(data, 7, **{"mix": mix, "batch_size": 2, "fold": "0/3", **options})


def test_a_task_trains_on_whole_scans_with_their_nodules_and_validates_with_the_folds(data):
    task = make_task(data)
    assert task.cases == {"training": ["ct2", "ct3", "ct4", "ct5"], "validation": ["ct0", "ct1"]}
    assert [crop.case for crop in task.train_crops] == ["ct2", "ct4"]
    assert [crop.case for crop in task.validation_crops] == ["ct0"]
    assert task.validation_share == 2
    batches = [task.batch(step) for step in range(6)]
    assert all(batch["image"].shape == (2, 1, SIZE, SIZE, SIZE) for batch in batches)
    assert any(bool((batch["heat"] == 1).any()) for batch in batches)


def test_validation_counts_alarms_of_all_its_scans(data):
    class Dense(torch.nn.Module):
        """Answers where tissue is: at the nodule, and nowhere else in the lung."""

        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            heat = torch.nn.functional.avg_pool3d(x, 2) * 6
            return torch.cat([heat, torch.full_like(heat, float(np.log(NODULE_MM)))], 1)

    scores = make_task(data).validate(Dense())
    assert scores["sensitivity_8"] == 1.0
    assert 0 <= scores["diameter_error"] < 0.1


def test_the_classical_detector_learns_from_the_same_datalist(data):
    cases = described_cases(data, holdout=["ct1", "ct3", "ct4", "ct5"])
    assert [case.case for case in cases] == ["ct0", "ct2"]
    for case in cases:
        nodule = case.center_ras_mm[case.label == NODULE]
        assert len(nodule)
        np.testing.assert_allclose(geometry.ras_to_lps(nodule[0]), lps(NODULE_VOXEL), atol=NODULE_MM / 2)


def test_a_nodule_beyond_its_scan_is_told(data, tmp_path):
    write_nifti(tmp_path / "ct.nii.gz", chest(True), AFFINE)
    entry = {"image": "ct.nii.gz", "box": [[500.0, 0, 0, 8, 8, 8]], "label": [0]}
    (tmp_path / "d.json").write_text(json.dumps({"training": [entry]}), encoding="utf-8")
    with pytest.raises(TrainingError, match=r"case ct: its nodule at \(500\.0, 0\.0, 0\.0\) LPS mm lies outside"):
        prepare(read_cases(tmp_path / "d.json")[0])


def test_a_case_without_boxes_is_told(data, tmp_path):
    (tmp_path / "ct.nii.gz").touch()
    (tmp_path / "d.json").write_text(json.dumps({"training": [{"image": "ct.nii.gz"}]}), encoding="utf-8")
    with pytest.raises(TrainingError, match='case ct has no "box"'):
        prepare(read_cases(tmp_path / "d.json")[0])


def test_a_fold_without_a_nodule_is_told(data, tmp_path):
    document = json.loads(data.read_text(encoding="utf-8"))
    for number, entry in enumerate(document["training"]):
        entry |= {"fold": number % 2, "image": str(data.parent / entry["image"])}
    (tmp_path / "d.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(TrainingError, match="fold 1/2 leaves no nodule to validate with"):
        make_task(tmp_path / "d.json", fold="1/2")


def test_a_fold_that_the_datalist_does_not_have_is_told(data):
    with pytest.raises(UsageError, match="folds 0, 1, 2"):
        make_task(data, fold="0/7")
