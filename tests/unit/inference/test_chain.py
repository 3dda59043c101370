"""Spacingd by SimpleITK gives MONAI's numbers, MONAI's grid, and something MONAI can invert."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, NormalizeIntensityd, Orientationd, ScaleIntensityRanged, Spacingd

from medimg.inference.chain import preprocessed

RAS = (("L", "R"), ("P", "A"), ("I", "S"))
TURNED = np.array([[-0.7, 0.1, 0, 3], [0.1, -0.7, 0.1, 5], [0, 0.1, 2.5, -7], [0, 0, 0, 1]])


def image(affine, channels=1):
    values = np.random.default_rng(0).normal(0, 300, (channels, 30, 28, 20)).astype(np.float32)
    return MetaTensor(torch.from_numpy(values), affine=torch.from_numpy(np.array(affine)), meta={"space": "RAS"})


def plain(image):
    return image.as_tensor().numpy()


@pytest.mark.parametrize("affine", [np.diag([-0.7, -0.7, 2.5, 1.0]), np.diag([1.3, 2.0, 0.8, 1.0]), TURNED])
@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_values_and_grid_are_monais(affine, padding):
    chain = Compose(
        [
            Orientationd("image", axcodes="RAS", labels=RAS),
            Spacingd("image", pixdim=(1.0, 1.0, 1.0), mode="bilinear", padding_mode=padding),
            ScaleIntensityRanged("image", -1024.0, 300.0, 0.0, 1.0, clip=True),
        ]
    )
    expected = chain({"image": image(affine, channels=2)})["image"]
    found = preprocessed(chain, {"image": image(affine, channels=2)})["image"]
    assert found.shape == expected.shape
    assert np.allclose(found.affine.numpy(), expected.affine.numpy())
    assert np.abs(plain(found) - plain(expected)).max() < 1e-4


def test_what_it_made_is_inverted_by_monai():
    chain = Compose([Spacingd("image", pixdim=(1.0, 1.5, 1.2), mode="bilinear", padding_mode="border")])
    invert = Invertd("pred", transform=chain, orig_keys="image", nearest_interp=True)
    affine = np.diag([0.7, 0.7, 2.5, 1.0])
    backs = []
    for run in (chain, lambda data: preprocessed(chain, data)):
        made = run({"image": image(affine)})["image"]
        labels = MetaTensor((made.as_tensor() > 0).float())
        backs.append(plain(invert({"pred": labels, "image": made})["pred"]))
    assert backs[0].shape == (1, 30, 28, 20)
    assert np.mean(backs[0] == backs[1]) > 0.9999


def test_a_grid_that_is_right_already_is_left_alone():
    chain = Compose([Spacingd("image", pixdim=(1.0, 1.0, 1.0))])
    given = image(np.eye(4))
    assert np.array_equal(plain(preprocessed(chain, {"image": given})["image"]), plain(given))


def test_what_it_does_not_know_is_left_to_monai():
    chain = Compose([Spacingd("image", pixdim=(1.0, 1.0, 1.0), mode="nearest")])
    affine = np.diag([0.7, 0.7, 2.5, 1.0])
    expected = chain({"image": image(affine)})["image"]
    assert np.array_equal(plain(preprocessed(chain, {"image": image(affine)})["image"]), plain(expected))


@pytest.mark.parametrize("nonzero", [True, False])
@pytest.mark.parametrize("channel_wise", [True, False])
def test_intensities_are_normalized_as_monai_does(nonzero, channel_wise):
    def given():
        made = image(TURNED, channels=3) + torch.tensor([500.0, 0, -20]).reshape(3, 1, 1, 1)
        made[:, :9] = 0
        made[1] = 7 * (made[1] != 0)
        return {"image": made}

    chain = Compose(
        [
            Orientationd("image", axcodes="RAS", labels=RAS),
            NormalizeIntensityd("image", nonzero=nonzero, channel_wise=channel_wise),
        ]
    )
    expected, found = chain(given())["image"], preprocessed(chain, given())["image"]
    assert np.abs(plain(found) - plain(expected)).max() < 1e-4
    assert np.array_equal(found.affine, expected.affine)
    assert len(found.applied_operations) == len(expected.applied_operations) == 1
    nothing = {"image": image(TURNED) * 0}
    assert not plain(preprocessed(chain, nothing)["image"]).any()
