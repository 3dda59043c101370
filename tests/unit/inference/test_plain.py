"""A bundle told as plain data answers as the bundle itself, and what cannot be told so is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import zoo
from monai.transforms import Compose, NormalizeIntensityd, ScaleIntensityd

from medimg.bundle import load_bundle
from medimg.bundles.as_pipeline import bundle_pipeline
from medimg.inference.answer import segment_labels
from medimg.inference.describe import described
from medimg.inference.describe_plain import plain_model
from medimg.inference.device import Device
from medimg.inference.network import Network
from medimg.inference.plain import ZScore, plain_labels, remember, remembered
from medimg.stages.known import key_of
from medimg.study import Source, Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    made = {}
    for path in (zoo.brats_bundle(folder, (32, 32, 32)), zoo.organs_bundle(folder, (32, 32, 32), 20, 8)):
        pipeline = bundle_pipeline(str(path), trusted=True)
        made[path.name] = described(load_bundle(path, trusted=True, recipe=pipeline.recipe), pipeline.recipe)
    return made


@pytest.fixture
def brain(models):
    return models["brats_mri_segmentation"]


def head(affine, seed=0):
    """Four contrasts, whose outermost voxels are zero."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(4):
        array = np.zeros((36, 30, 24), np.float32)
        array[4:-4, 4:-4, 4:-4] = rng.gamma(4.0, 100.0, size=(28, 22, 16))
        made.append(Volume(array, affine, Source(None, "nifti"), modality="MR"))
    return made


@pytest.mark.parametrize("affine", [np.eye(4), LPS], ids=["RAS", "LPS"])
def test_the_labels_are_those_of_the_bundle(brain, affine):
    device, scans = Device("cpu", "fp32", ""), head(affine)
    plain = plain_model(brain)
    labels = plain_labels(plain, [Network(lambda: brain.network, plain.digest)], scans, device)
    assert len(np.unique(labels)) > 1
    assert np.array_equal(labels, segment_labels(brain, scans, device))


def test_what_is_remembered_is_what_was_told(brain, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMG_HOME", str(tmp_path))
    assert remembered("key") is None
    remember("key", plain_model(brain))
    assert remembered("key") == plain_model(brain)
    assert remembered("another") is None


def test_a_damaged_memory_is_none(brain, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMG_HOME", str(tmp_path))
    remember("key", plain_model(brain))
    (path,) = (tmp_path / "compiled").glob("plain-*.json")
    for damaged in ("", "{", "[]", "{}", path.read_text(encoding="utf-8").replace('"size"', '"sizes"')):
        path.write_text(damaged, encoding="utf-8")
        assert remembered("key") is None


def test_transforms_that_do_more_are_not_told(models, brain):
    assert plain_model(models["wholeBody_ct_segmentation"]) is None
    for more in (
        ScaleIntensityd("image"),
        NormalizeIntensityd("image", subtrahend=1.0),
        NormalizeIntensityd("image", divisor=2.0),
    ):
        assert plain_model(replace(brain, preprocess=Compose([*brain.preprocess.transforms, more]))) is None
    assert plain_model(replace(brain, orientation=None)) is None
    assert plain_model(replace(brain, decision=replace(brain.decision, scores_go_back=True))) is None


def test_all_channels_together_have_one_mean_and_deviation():
    rng = np.random.default_rng(0)
    values = rng.normal([[[[5.0]]], [[[50.0]]]], 3.0, size=(2, 6, 6, 6)).astype(np.float32)
    values[:, 0] = 0
    seen = values[values != 0]
    expected = np.where(values != 0, (values - seen.mean()) / seen.std(), 0)
    ZScore(channel_wise=False, nonzero=True).apply(values)
    assert np.allclose(values, expected, atol=1e-5)


def test_an_ensemble_answers_as_its_bundles_do(brain, tmp_path):
    path = zoo.brats_bundle(tmp_path, (32, 32, 32))
    torch.save(zoo.seg_res_net(zoo.brats_config((32, 32, 32)), seed=1).state_dict(), path / "models" / "model.pt")
    pipeline = bundle_pipeline(str(path), trusted=True)
    other = described(load_bundle(path, trusted=True, recipe=pipeline.recipe), pipeline.recipe)
    device, scans = Device("cpu", "fp32", ""), head(np.eye(4))
    plain = plain_model(brain)
    networks = [Network(lambda model=model: model.network, model.digest) for model in (brain, other)]
    labels = plain_labels(plain, networks, scans, device)
    assert np.array_equal(labels, segment_labels(brain, scans, device, members=[other]))
    assert not np.array_equal(labels, plain_labels(plain, networks[:1], scans, device))


def test_whatever_decides_the_answer_is_another_key(tmp_path):
    path = zoo.brats_bundle(tmp_path, (32, 32, 32))
    pipeline = bundle_pipeline(str(path), trusted=True)
    keys = [key_of(pipeline), key_of(replace(pipeline, recipe=replace(pipeline.recipe, threshold=0.3)))]
    torch.save(zoo.seg_res_net(zoo.brats_config((32, 32, 32)), seed=1).state_dict(), path / "models" / "model.pt")
    keys.append(key_of(bundle_pipeline(str(path), trusted=True)))
    config = path / "configs" / "inference.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"overlap": 0.5', '"overlap": 0.25'), encoding="utf-8")
    keys.append(key_of(bundle_pipeline(str(path), trusted=True)))
    assert key_of(bundle_pipeline(str(path), trusted=True)) == keys[-1]
    assert len(set(keys)) == 4
