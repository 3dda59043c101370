from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

from medimg.errors import TrainingError, UsageError
from medimg.files import atomic_path
from medimg.train import nodule_paste
from medimg.train import nodule_patches as patches
from medimg.train.nodule_augment import QUANTUM_HU, _noise, augmented, normalised
from medimg.train.nodule_canvas import SIZE, Truth, mirrored, outside, pose, turned, window
from medimg.train.nodule_data import Crop, Scan, load_crops
from medimg.train.nodules import KINDS, NoduleTask, targets
from medimg.volumes import write_nifti

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
LUNG, NODULE = -850, 30


def ball(shape, centre, radius):
    grid = np.moveaxis(np.indices(shape), 0, -1)
    return ((grid - np.array(centre)) ** 2).sum(-1) <= radius**2


def a_crop(diameter=10.0):
    mask = ball((51, 51, 51), (25, 25, 25), diameter / 2)
    hu = np.where(mask, NODULE, LUNG).astype(np.int16)
    return Crop("P1", hu, mask, np.array([25.0, 25, 25]), diameter, 5)


def a_scan(shape=(96, 80, 100), nodules=(), ignore=()):
    table = [np.array(rows, dtype=float).reshape(-1, 4) for rows in (nodules, ignore)]
    hu = np.random.default_rng(0).normal(LUNG, 20, shape).astype(np.int16)
    return Scan("S1", hu, np.eye(4), np.ones(shape, bool), *table)


@pytest.fixture
def sources():
    scan = a_scan(nodules=[[40, 40, 50, 12]], ignore=[[70, 60, 30, 6]])
    points = [np.argwhere(scan.lung).astype(np.int32)]
    return patches.Sources([a_crop()], [scan], points, np.array([[0.0, 30, 30, 30]]), [scan])


def write_data(folder, patients=("P1", "P2", "P3")):
    """The layout of --data with small synthetic cases."""
    crops, scans = folder / "lidc_nodule_crops", folder / "lung_boxes"
    crops.mkdir(parents=True)
    scans.mkdir()
    for number, case in enumerate(patients):
        crop = a_crop(8.0 + 2 * number)
        write_nifti(crops / f"{case}_ct.nii.gz", crop.hu, LPS)
        write_nifti(crops / f"{case}_nodule.nii.gz", crop.mask.astype(np.uint8), LPS)
    with atomic_path(crops / "labels.csv") as path, path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case", "equivalent_diameter_mm", "texture"])
        writer.writerows([case, 8.0 + 2 * number, 5] for number, case in enumerate(patients))
    chest = np.full((90, 76, 60), 40, np.int16)
    for centre in ((25, 38, 30), (65, 38, 30)):
        grid = (np.moveaxis(np.indices(chest.shape), 0, -1) - np.array(centre)) / (16, 26, 27)
        chest[(grid**2).sum(-1) <= 1] = LUNG
    write_nifti(scans / "B1_ct.nii.gz", chest, np.diag([2.0, 2.0, 2.0, 1.0]))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("lung"))


def make_task(data, **options):
    mix = {"embedded": 1, "background": 1, "mined": 1}
    settings = {"mix": mix, "batch_size": 2, "holdout": ["P3"], "fold": "0/2", "validation_scan": "B1"} | options
    return NoduleTask(data, 7, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_patch_has_its_size_and_its_nodules_inside(kind, sources):
    for seed in range(6):
        patch = KINDS[kind](sources, np.random.default_rng(seed))
        assert tuple(patch.image.shape) == (SIZE,) * 3
        assert torch.isfinite(patch.image).all()
        for centre, diameter in patch.truth.nodules:
            assert ((centre >= 0) & (centre <= SIZE - 1)).all()
            assert 3 < diameter < 40


@pytest.mark.parametrize("kind", ["reflected", "embedded", "pasted", "canvas"])
def test_the_truth_points_at_the_nodule(kind, sources):
    for seed in range(8):
        # too small for a cavity, whose centre is air
        plain = patches.Sources([a_crop(7.0)], [a_scan()], sources.lung_points, sources.mined)
        patch = KINDS[kind](plain, np.random.default_rng(seed))
        for centre, _ in patch.truth.nodules:
            i, j, k = np.rint(centre).astype(int)
            # soft nodules too are denser than lung: its noise is 20 HU
            assert patch.image[i, j, k] > LUNG + 60


def test_negative_embeds_hold_no_nodule_of_a_crop(sources):
    plain = patches.Sources(sources.crops, [a_scan()], sources.lung_points, sources.mined)
    for seed in range(10):
        patch = patches.negative_embedded(plain, np.random.default_rng(seed))
        assert patch.truth.nodules == []
        assert patch.image.max() < LUNG + 150


def test_mirroring_moves_truth_and_image_alike():
    scan = a_scan((SIZE,) * 3)
    image = torch.from_numpy(scan.hu.astype(np.float32))
    image[10, 20, 30] = 1000
    truth = Truth([(np.array([10.0, 20, 30]), 5.0)])
    for seed in range(16):
        patch = mirrored(patches.Patch(image, truth), np.random.default_rng(seed))
        i, j, k = patch.truth.nodules[0][0].astype(int)
        assert patch.image[i, j, k] == 1000


def test_a_turned_crop_lands_on_its_target():
    crop, target = a_crop(9.0), np.array([20.5, 30.0, 41.0])
    for seed in range(5):
        place = window(np.zeros(3), np.full(3, SIZE))
        channels = torch.from_numpy(crop.hu.astype(np.float32))[None]
        image, valid = turned(channels, crop.centre, target, pose(1.2, np.random.default_rng(seed)), place)
        dense = torch.nonzero(image[0] > -400).float().mean(0).numpy()
        np.testing.assert_allclose(dense, target, atol=0.6)
        assert valid[20, 30, 41] == 1


def test_beyond_its_faces_a_reflected_crop_shows_its_nodule_again_and_the_truth_says_where(sources):
    crop = a_crop(9.0)
    off_centre = Crop("P1", np.roll(crop.hu, (-12, 5, -8), (0, 1, 2)), crop.mask, np.array([13.0, 30, 17]), 9.0, 5)
    plain = patches.Sources([off_centre], sources.scans, sources.lung_points, sources.mined)
    seen = 0
    for seed in range(12):
        patch = patches.reflected(plain, np.random.default_rng(seed))
        dense = patch.image > LUNG + 60
        for centre, radius in [*((c, d / 2 + 3) for c, d in patch.truth.nodules), *patch.truth.ignore]:
            near = torch.from_numpy(ball((SIZE,) * 3, centre, radius + 1))
            dense = dense & ~near
        assert not dense.any()
        seen += len(patch.truth.nodules)
    assert seen > 12


def test_attached_nodules_are_pasted_where_something_dense_is_near():
    image = torch.full((SIZE,) * 3, float(LUNG))
    image[:, :, 40:] = 40
    places = torch.nonzero(nodule_paste._free_places(image, 8.0, attached=True)) * 2 + nodule_paste.EDGE
    assert len(places) > 0
    assert (places[:, 2] >= 36).all()
    assert (places[:, 2] < 40).all()


def test_a_box_over_half_a_nodule_makes_it_unknown():
    truth = Truth([(np.array([20.0, 20, 20]), 10.0), (np.array([50.0, 50, 50]), 8.0)])
    left = outside(truth, np.array([20.0, 0, 0]), np.array([40.0, 40, 40]))
    assert [d for _, d in left.nodules] == [8.0]
    assert len(left.ignore) == 1


def test_targets_are_one_at_the_centre_and_hold_the_diameter():
    truth = Truth([(np.array([20.5, 30.5, 40.5]), 12.0)], [(np.array([50.0, 50, 50]), 5.0)])
    result = targets(truth)
    assert result["heat"][10, 15, 20] == 1
    assert result["log_diameter"][10, 15, 20] == pytest.approx(np.log(12))
    assert result["heat"][25, 25, 25] < 0.01
    assert result["known"][25, 25, 25] == 0
    assert result["known"][10, 15, 20] == 1


def test_the_network_input_is_minus_two_to_two():
    hu = torch.tensor([-3000.0, -1200, -400, 400, 3000])
    assert normalised(hu).tolist() == [-2, -2, 0, 2, 2]


def test_augmentation_keeps_shape_and_roughly_the_mean():
    image = torch.full((SIZE,) * 3, -800.0)
    for seed in range(8):
        changed = augmented(image, np.random.default_rng(seed))
        assert changed.shape == image.shape
        assert abs(float(changed.mean()) + 800) < 120


def test_noise_is_of_the_strength_drawn_and_its_soft_kind_too():
    strengths = [float(_noise(torch.Size((SIZE,) * 3), np.random.default_rng(seed)).std()) for seed in range(40)]
    assert min(strengths) == pytest.approx(QUANTUM_HU, rel=0.1)
    assert 30 < max(strengths) < 80


def test_batches_are_a_function_of_seed_and_step(data):
    task, again = make_task(data), make_task(data)
    first, second = task.batch(3), again.batch(3)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["image"], task.batch(4)["image"])
    assert first["image"].shape == (2, 1, SIZE, SIZE, SIZE)
    assert first["heat"].shape == (2, SIZE // 2, SIZE // 2, SIZE // 2)


def test_held_out_patients_are_nowhere_and_validation_patients_not_in_training(data):
    task = make_task(data)
    trained = {crop.case for crop in task.train_crops}
    validated = {crop.case for crop in task.validation_crops}
    assert "P3" not in trained | validated
    assert len(validated) == 1
    assert not trained & validated


def test_every_patient_is_validated_in_exactly_one_fold(data):
    tasks = [make_task(data, holdout=[], fold=f"{number}/3") for number in range(3)]
    validated = [crop.case for task in tasks for crop in task.validation_crops]
    assert sorted(validated) == ["P1", "P2", "P3"]


def test_the_loss_falls_as_the_output_nears_the_target(data):
    task = make_task(data)
    batch = task.batch(0)
    perfect = torch.stack([torch.where(batch["heat"] == 1, 9.0, -9.0), batch["log_diameter"]], 1)
    good, blank = task.loss(perfect, batch), task.loss(torch.zeros_like(perfect), batch)
    assert good["loss"] < 0.1 < blank["loss"]
    assert good["size"] == 0


def test_refreshed_state_survives_a_checkpoint(data):
    class Everywhere(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            heat = torch.nn.functional.avg_pool3d(x, 2) * 0 + 3
            return torch.cat([heat, heat], 1)

    task, resumed = make_task(data), make_task(data)
    task.refresh(Everywhere(), 10)
    assert len(task.sources.mined) > 0
    resumed.load_state_dict(task.state_dict())
    np.testing.assert_array_equal(task.sources.mined, resumed.sources.mined)
    scores = task.validate(Everywhere())
    assert -1 <= scores["score"] <= 2
    assert 0 <= scores["sensitivity_4"] <= 1


def test_a_folder_of_another_layout_is_refused_in_one_line(tmp_path):
    with pytest.raises(TrainingError, match=r"labels\.csv is missing"):
        load_crops(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mix": {"wishes": 1}}, "unknown kinds wishes"),
        ({"validation_scan": "B9"}, "validation_scan 'B9' is not there"),
        ({"fold": "2/2"}, "fold '2/2': write it k/n"),
        ({"fold": "first"}, "fold 'first': write it k/n"),
        ({"fold": "3/5"}, "5 folds of 2 patients"),
    ],
)
def test_options_that_mean_nothing_are_refused(data, options, message):
    with pytest.raises((TrainingError, UsageError), match=message):
        make_task(data, **options)
