"""Tumour training: cases read by role, patches whose labels stay on their image, whole cases scored."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from medimg.datalist.layouts import ROLES
from medimg.errors import MedimgError, TrainingError, UsageError
from medimg.phantoms.brain import brain
from medimg.pipeline import load_pipeline
from medimg.train import tumours
from medimg.train.cases import read_cases
from medimg.train.labelled import LabelledCase, make_case, patch
from medimg.train.segmentation import dice_score
from medimg.train.tumour_data import read_case, regions, visible
from medimg.train.tumour_patches import dropped, scanner, without
from medimg.train.tumours import TumourTask
from medimg.volumes import write_nifti

SIDE = 32
OLD_NAMES = {"t1c": "_t1ce", "t1n": "_t1", "t2w": "_t2", "t2f": "_flair"}
NEW_NAMES = {role: f"-{role}" for role in ROLES}


def truth():
    """A ball of oedema with an enhancing shell around necrosis, off centre: labels 1, 2 and 4."""
    i, j, k = np.indices((SIDE, SIDE, SIDE))
    radius = np.sqrt((i - 13) ** 2 + (j - 17) ** 2 + (k - 15) ** 2)
    return np.select([radius < 3, radius < 5, radius < 8], [1, 4, 2], 0).astype(np.uint8)


def contrasts():
    """Enhancing tumour is bright on t1c, the core on t1n, all of it on t2f; 0 outside a ball of brain."""
    rng, labels = np.random.default_rng(0), truth()
    i, j, k = np.indices(labels.shape)
    inside = (i - 15) ** 2 + (j - 15) ** 2 + (k - 15) ** 2 < 14**2
    bright = {"t1c": labels == 4, "t1n": np.isin(labels, (1, 4)), "t2w": labels < 0, "t2f": labels > 0}
    return {role: (100 + 900 * bright[role] + rng.normal(0, 10, labels.shape)) * inside for role in ROLES}


def write_case(folder, names=OLD_NAMES, without=()):
    folder.mkdir(parents=True)
    for role, image in contrasts().items():
        if role not in without:
            write_nifti(folder / f"{folder.name}{names[role]}.nii.gz", image.astype(np.int16), np.eye(4))
    write_nifti(folder / f"{folder.name}{names['t1c'][0]}seg.nii.gz", truth(), np.eye(4))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("brain")
    for name, names in (("one", OLD_NAMES), ("two", NEW_NAMES), ("three", OLD_NAMES)):
        write_case(root / name, names)
    return root


@pytest.fixture(scope="module")
def bundle():
    from medimg.bundle import load_bundle

    return load_bundle(load_pipeline("brain_tumour").bundle)


def task(data, **changes):
    options = {"seed": 5, "validation": ["one"], "batch_size": 2, "size": 16, "large_size": 32, "heads": 2}
    return TumourTask(str(data), **{**options, **changes})


def marked_case():
    """A case whose image says its own label: 1 in brain, 2, 3, 4 in the regions."""
    labels = np.zeros((40, 40, 40), dtype=np.uint8)
    labels[10:30, 12:28, 8:26] = 2
    labels[14:24, 16:24, 12:22] = 3
    labels[17:21, 18:22, 15:19] = 1
    image = torch.from_numpy(labels.astype(np.float32) + 1).repeat(4, 1, 1, 1)
    image[:, :4] = 0
    return make_case("marked", image, labels)


def test_cases_are_found_under_old_and_new_names_and_nothing_else_is(tmp_path):
    write_case(tmp_path / "b_old", OLD_NAMES)
    write_case(tmp_path / "a_new", NEW_NAMES)
    write_case(tmp_path / "c_incomplete", without=("t2f",))
    (tmp_path / "d_empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    assert [case.id for case in read_cases(tmp_path)] == ["a_new", "b_old"]


def test_a_folder_without_cases_is_told(tmp_path):
    with pytest.raises(UsageError, match="not laid out as LUNA16, LIDC-IDRI, BraTS or nnU-Net"):
        read_cases(tmp_path)


def cases_in(data):
    return {case.id: case for case in read_cases(data)}


def test_a_case_has_its_contrasts_in_channel_order_and_enhancing_tumour_as_3(data, bundle):
    case = read_case(cases_in(data)["one"], bundle)
    assert set(case.labels.unique().tolist()) == {0, 1, 2, 3}
    enhancing, core, whole = case.labels == 3, (case.labels == 1) | (case.labels == 3), case.labels > 0
    brightest = [case.image[channel].float() > 1 for channel in range(4)]
    assert torch.equal(brightest[ROLES.index("t1c")], enhancing)
    assert torch.equal(brightest[ROLES.index("t1n")], core)
    assert torch.equal(brightest[ROLES.index("t2f")], whole)


def test_old_and_new_names_give_the_same_case(data, bundle):
    old, new = read_case(cases_in(data)["one"], bundle), read_case(cases_in(data)["two"], bundle)
    assert torch.equal(old.image, new.image)
    assert torch.equal(old.labels, new.labels)


def test_regions_overlap_as_brats_defines_them():
    core, whole, enhancing = regions(torch.tensor([0, 1, 2, 3]))
    assert core.tolist() == [0, 1, 0, 1]
    assert whole.tolist() == [0, 1, 1, 1]
    assert enhancing.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("seed", range(6))
def test_labels_stay_on_their_image_in_every_patch(seed):
    image, labels = patch(marked_case(), 24, 1.0, np.random.default_rng(seed))
    assert image.shape == (4, 24, 24, 24)
    assert labels.shape == (24, 24, 24)
    inside = image[0] != 0
    assert torch.equal(image[0][inside] - 1, labels[inside].float())
    assert (labels > 0).any()


def test_a_patch_over_the_edge_of_the_head_is_filled_with_background():
    image, labels = patch(marked_case(), 96, 1.0, np.random.default_rng(0))
    assert int((image[0] != 0).sum()) == 36 * 40 * 40
    assert int((labels > 0).sum()) == int((marked_case().labels > 0).sum())


def test_background_stays_exactly_zero_through_every_scanner():
    image = torch.ones(4, 12, 12, 12)
    image[:, :3] = 0
    for seed in range(20):
        changed = scanner(image, np.random.default_rng(seed))
        assert not changed[:, :3].any()
        assert torch.isfinite(changed).all()
        assert changed[:, 3:].any()


def test_flair_is_missing_only_where_contrast_enhanced_t1_is_there():
    rng = np.random.default_rng(0)
    missing = {dropped(rng) for _ in range(400)}
    assert {(), (1, 2), (0, 1, 2)} <= missing
    assert all(not {0, 3} <= set(channels) for channels in missing)


def test_channels_that_are_missing_are_zero_and_the_others_untouched():
    image = torch.rand(4, 4, 4, 4) + 1
    changed = without(image.clone(), (0, 2))
    assert not changed[[0, 2]].any()
    assert torch.equal(changed[[1, 3]], image[[1, 3]])


def test_only_the_whole_tumour_can_be_told_without_contrast_agent():
    assert visible(["t2f"]).tolist() == [0, 1, 0]
    assert visible(["t1c", "t2f"]).tolist() == [1, 1, 1]


def test_a_batch_is_a_function_of_seed_and_step(data):
    made = task(data)
    first, again, other = made.batch(3), task(data).batch(3), made.batch(4)
    assert torch.equal(first["image"], again["image"])
    assert torch.equal(first["regions"], again["regions"])
    assert not torch.equal(first["image"], other["image"])
    assert first["image"].shape == (2, 4, 16, 16, 16)
    assert first["regions"].shape == (2, 3, 16, 16, 16)


def test_late_steps_see_one_large_patch(data):
    made = task(data, large_from=10)
    assert made.batch(9)["image"].shape == (2, 4, 16, 16, 16)
    assert made.batch(10)["image"].shape == (1, 4, 32, 32, 32)


def test_the_loss_is_lower_the_better_the_output(data):
    made = task(data)
    batch = {"regions": regions(torch.from_numpy(truth()))[None], "visible": torch.ones(1, 3)}
    right = (batch["regions"] - 0.5) * 100
    losses = [float(made.loss(output, batch)["loss"]) for output in (right, right * 0, -right)]
    assert losses == sorted(losses)
    assert losses[0] < 0.01


def test_a_region_that_cannot_be_seen_costs_nothing(data):
    batch = {"regions": regions(torch.from_numpy(truth()))[None], "visible": torch.tensor([[0.0, 1.0, 0.0]])}
    right = (batch["regions"] - 0.5) * 100
    guessed = right * torch.tensor([-1.0, 1.0, -1.0]).view(1, 3, 1, 1, 1)
    assert float(task(data).loss(guessed, batch)["loss"]) == float(task(data).loss(right, batch)["loss"]) < 0.01


def test_a_region_that_is_absent_costs_what_is_drawn_of_it_beside_a_tenth_of_a_millilitre(data):
    batch = {"regions": torch.zeros(1, 3, 10, 10, 10), "visible": torch.ones(1, 3)}
    drawn = torch.full((1, 3, 10, 10, 10), -100.0)
    drawn[:, :, 0] = 100.0
    assert float(task(data).loss(drawn, batch)["tversky"]) == pytest.approx(0.5, abs=1e-4)


def test_a_missed_core_can_cost_more_than_one_drawn_too_large(data):
    made = task(data, missed=[0.7, 0.5, 0.7])
    truth = torch.zeros(1, 3, 10, 10, 10)
    truth[:, :, :4] = 1
    small, large = torch.full_like(truth, -100.0), torch.full_like(truth, -100.0)
    small[:, :, :2] = 100.0
    large[:, :, :6] = 100.0
    for region, costs_more in ((0, True), (1, False), (2, True)):
        seen = torch.zeros(1, 3)
        seen[0, region] = 1
        batch = {"regions": truth, "visible": seen}
        missed, drawn = (float(made.loss(output, batch)["tversky"]) for output in (small, large))
        assert (missed > 2 * drawn) is costs_more


def test_a_fold_decides_what_is_trained_on(data):
    made = task(data, validation=[], fold="1/3")
    names = [case.name for case in (*made.validation, *made.training)]
    assert len(made.validation) == 1
    assert sorted(names) == ["one", "three", "two"]


def test_held_out_cases_are_never_read_and_validation_cases_never_trained_on(data):
    made = task(data, holdout=["three"])
    assert [case.name for case in made.validation] == ["one"]
    assert [case.name for case in made.training] == ["two"]


def test_validation_scores_each_region_on_whole_cases(data):
    class Brightness(nn.Module):
        """Sees each region on the contrast where `contrasts` made it bright; `flaw` blinds it to the third."""

        def __init__(self, flaw=0.0):
            super().__init__()
            self.shift = nn.Parameter(torch.tensor([1.0, 1.0, 1.0 + flaw]))

        def forward(self, image):
            return image[:, [1, 3, 0]] - self.shift.view(3, 1, 1, 1)

    assert task(data).validate(Brightness()) == {"score": 1.0, "TC": 1.0, "WT": 1.0, "ET": 1.0}
    assert task(data).validate(Brightness(flaw=99)) == {"score": pytest.approx(2 / 3), "TC": 1.0, "WT": 1.0, "ET": 0.0}


def test_dice_of_two_empty_masks_is_one_and_of_one_empty_mask_zero():
    empty, full = torch.zeros(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool)
    assert dice_score(empty, empty) == 1.0
    assert dice_score(full, empty) == dice_score(empty, full) == 0.0
    assert dice_score(full, torch.tensor([True, False, False])) == pytest.approx(0.5)


def test_phantoms_join_the_training_cases(data, monkeypatch):
    monkeypatch.setattr(tumours, "brain", partial(brain, shape=(60, 60, 40)))
    made = task(data, phantoms=1)
    phantom = made.training[-1]
    assert isinstance(phantom, LabelledCase)
    assert phantom.name == "phantom-0"
    assert set(phantom.labels.unique().tolist()) == {0, 1, 2, 3}
    # the tumour lies in the brain, not beside it
    assert (phantom.image[:, phantom.labels > 0] != 0).any(0).float().mean() > 0.99


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": ["four"]}, "validation names four, which the data do not hold"),
        ({"validation": []}, "write it k/n"),
        ({"validation": ["one", "two", "three"]}, "validation leaves no case to train on"),
        ({"holdout": ["one"]}, "validation names one, which the data do not hold"),
    ],
)
def test_a_split_that_leaves_nothing_is_told(data, changes, message):
    with pytest.raises((TrainingError, UsageError), match=message):
        task(data, **changes)


def listed(folder, **changes):
    """Two cases as a datalist with folds of their own; `changes` to the second one's entry or its files."""
    entries = []
    for number, name in enumerate(("one", "two")):
        write_case(folder / name)
        images = [f"{name}/{name}{OLD_NAMES[role]}.nii.gz" for role in ROLES]
        entries.append({"id": name, "image": images, "label": f"{name}/{name}_seg.nii.gz", "fold": number})
    entries[1] |= changes
    modality = {str(number): role for number, role in enumerate(ROLES)}
    path = folder / "datalist.json"
    path.write_text(json.dumps({"modality": modality, "training": entries}), encoding="utf-8")
    return path


def test_a_datalist_and_its_folds_are_trained_on_as_a_folder_is(tmp_path, bundle):
    made = task(listed(tmp_path), validation=[], fold="0/2")
    assert made.cases == {"training": ["two"], "validation": ["one"]}
    folder = read_case(cases_in(tmp_path)["two"], bundle)
    assert torch.equal(made.training[0].image, folder.image)
    assert torch.equal(made.training[0].labels, folder.labels)


def test_what_is_wrong_with_a_case_is_one_line(tmp_path):
    def refused(name, words, labels=None, affine=None, **changes):
        path = listed(tmp_path / name, **changes)
        if labels is not None:
            write_nifti(path.parent / "two" / "two_seg.nii.gz", labels, np.eye(4) if affine is None else affine)
        with pytest.raises(MedimgError, match=words) as error:
            task(path, validation=[], fold="0/2")
        assert "\n" not in str(error.value)

    refused("gone", r"two_t9\.nii\.gz, which .*datalist\.json names, is missing", image=["two/two_t9.nii.gz"])
    refused(
        "fewer",
        "case two has no t2w, t2f; name every channel's role",
        image=["two/two_t1ce.nii.gz", "two/two_t1.nii.gz"],
    )
    refused("unlabelled", "case two has no label map", label=None)
    refused("strange", "two_seg.nii.gz holds labels 7; the regions know 1, 2, 3, 4", truth() + 6 * (truth() == 1))
    refused("both", "holds labels 3 and 4, of which BraTS uses one only", truth() + 2 * (truth() == 1))
    refused("shifted", "two_seg.nii.gz does not lie on the grid of", truth(), np.diag([1.0, 1, 2, 1]))


def test_contrasts_on_different_grids_are_told(tmp_path):
    path = listed(tmp_path)
    flair = contrasts()["t2f"].astype(np.int16)
    write_nifti(tmp_path / "two" / "two_flair.nii.gz", flair, np.diag([1.0, 1, 2, 1]))
    with pytest.raises(MedimgError, match="is not on the grid of"):
        task(path, validation=[], fold="0/2")


def test_the_network_answers_on_the_grid_it_is_given(bundle):
    network = bundle.network().eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 4, 32, 48, 16)).shape == (1, 3, 32, 48, 16)
