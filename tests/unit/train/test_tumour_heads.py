"""Heads and tumours made for training: what was changed is what is labelled, and where nothing was, nothing is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medimg.train import tumour_synthesis as synthesis
from medimg.train.tumour_data import make_case
from medimg.train.tumour_heads import HeadPool, balanced, turned
from medimg.train.tumour_synthesis import CORE, ENHANCING, OEDEMA, T1C, T2F, Scene

SHAPE = (64, 60, 56)


def scene(enhancing=True, shift=0):
    """A ball of brain with a tumour of three regions on one side; noise, and each region's typical signal."""
    rng = np.random.default_rng(1)
    i, j, k = np.indices(SHAPE)
    inside = (i - 32) ** 2 + (j - 30) ** 2 + (k - 28) ** 2 < 26**2
    radius = np.sqrt((i - 22 - shift) ** 2 + (j - 30) ** 2 + (k - 28) ** 2)
    labels = np.select([radius < 4, radius < 6, radius < 9], [CORE, ENHANCING if enhancing else CORE, OEDEMA], 0)
    image = rng.normal(0, 0.2, (4, *SHAPE))
    for label, (mean, _) in synthesis.SIGNAL.items():
        image[:, labels == label] += np.array(mean)[:, None]
    image[:, inside & (image == 0).any(0)] = 1e-3
    return Scene(torch.from_numpy(image * inside).float(), torch.from_numpy(labels.astype(np.uint8)))


def copied(original):
    return Scene(original.image.clone(), original.labels.clone())


def rng(seed=0):
    return np.random.default_rng(seed)


def changed(before, after):
    return ((after.image - before.image).abs() > 0.15).any(0)


@pytest.mark.parametrize("seed", range(8))
def test_what_no_longer_enhances_is_core_and_no_longer_bright_and_what_is_left_is_fainter(seed):
    before, after = scene(), copied(scene())
    synthesis.unenhanced(after, rng(seed))
    rim = before.labels == ENHANCING
    assert float(after.image[T1C][rim].mean()) < 0.75 * float(before.image[T1C][rim].mean())
    if bool((after.labels == ENHANCING).any()):
        assert torch.equal(after.labels, before.labels)
    else:
        assert (after.labels[rim] == CORE).all()
    assert torch.equal(after.image[1:], before.image[1:])


def test_a_cyst_is_dark_on_flair_and_its_labels_are_those_it_had():
    before, after = scene(), copied(scene())
    synthesis.cystic(after, rng())
    core = before.labels == CORE
    assert float(after.image[T2F][core].mean()) < float(before.image[T2F][core].mean()) - 0.8
    assert torch.equal(after.labels, before.labels)


def test_a_faint_tumour_keeps_its_labels_and_part_of_its_contrast():
    before, after = scene(), copied(scene())
    synthesis.faint(after, rng())
    region = before.labels == OEDEMA
    contrast = float(after.image[T2F][region].mean()) / float(before.image[T2F][region].mean())
    assert 0.2 < contrast < 0.85
    assert torch.equal(after.labels, before.labels)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_made_to_enhance_is_core_that_is_labelled_and_bright(seed):
    before, after = scene(enhancing=False), copied(scene(enhancing=False))
    synthesis.enhanced(after, rng(seed))
    part = after.labels == ENHANCING
    assert (before.labels[part] == CORE).all()
    if part.any():
        assert float((after.image - before.image)[T1C][part].mean()) > 0.3


@pytest.mark.parametrize("seed", range(10))
def test_an_altered_head_keeps_its_background_and_everything_far_from_the_tumour(seed):
    before, after = scene(), copied(scene())
    synthesis.alter(after, rng(seed))
    assert not after.image[:, ~before.inside].any()
    assert torch.equal(after.labels > 0, before.labels > 0)
    far = synthesis.soft(before.labels > 0, 3) == 0
    assert torch.equal(after.image[:, far], before.image[:, far])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("add", ["move", "grow"])
def test_an_added_tumour_lies_in_healthy_brain_and_shows_where_it_is_labelled(add, seed):
    before, after = scene(), copied(scene())
    if add == "move":
        synthesis.move(after, scene(shift=3), rng(seed))
    else:
        synthesis.grow(after, rng(seed))
    new = (after.labels > 0) & (before.labels == 0)
    assert not after.image[:, ~before.inside].any()
    assert not new[~before.inside].any()
    if new.any():
        assert float(changed(before, after)[new].float().mean()) > 0.9
        assert float(new[changed(before, after)].float().mean()) > 0.3
    else:
        assert torch.equal(after.labels, before.labels)


def test_tumours_are_added_more_often_than_not():
    added = 0
    for seed in range(10):
        after = copied(scene())
        synthesis.move(after, scene(), rng(seed))
        added += int((after.labels > 0).sum()) > int((scene().labels > 0).sum())
    assert added >= 6


def test_a_head_without_a_tumour_is_left_alone():
    healthy = Scene(scene().image, torch.zeros(SHAPE, dtype=torch.uint8))
    after = copied(healthy)
    synthesis.alter(after, rng())
    synthesis.move(after, healthy, rng())
    assert torch.equal(after.image, healthy.image)


@pytest.mark.parametrize("seed", range(8))
def test_labels_stay_on_their_image_however_a_head_is_turned(seed):
    labels = scene().labels
    marked = Scene((labels.float() + 1).mul(scene().inside).expand(4, *SHAPE).clone(), labels)
    after = turned(marked, rng(seed))
    inside = after.inside
    # half a label off only at borders, where the image is interpolated
    agrees = (after.image[0] - 1 - after.labels.float()).abs() < 0.75
    assert float(agrees[inside].float().mean()) > 0.9
    assert 0.4 < float((after.labels > 0).sum()) / float((labels > 0).sum()) < 2.5
    assert not torch.equal(after.labels, labels)


def pool(seed=1, **changes):
    cases = [make_case(name, scene(shift=shift).image, scene(shift=shift).labels.numpy())
             for shift, name in enumerate("abc")]  # fmt: skip
    return HeadPool(cases, **{"seed": seed, "slots": 3, "every": 2, "synthetic": (0.5, 0.5, 0.5), **changes})


def test_the_heads_of_a_step_do_not_depend_on_the_steps_before():
    gone_through = pool()
    for step in range(5):
        there = gone_through.at(step)
    for one, other in zip(there, pool().at(4), strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.labels, other.labels)


def test_one_head_is_renewed_at_a_time():
    made = pool()
    first, second = made.at(1), made.at(2)
    assert [head is other for head, other in zip(first[1:], second[:-1], strict=True)] == [True, True]
    assert second[-1] is not first[0]


def test_another_seed_gives_other_heads():
    assert not torch.equal(pool(seed=1).at(0)[0].image, pool(seed=2).at(0)[0].image)


def test_cases_that_hardly_enhance_are_drawn_as_often_as_the_others():
    assert balanced([True, True, True, False]).tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert balanced([True, True]).tolist() == [0.5, 0.5]
