"""A bundle's answer is MONAI's own: same windows, same postprocessing, whatever the orientation of the file."""

from __future__ import annotations

import functools
import warnings
from copy import deepcopy

import nibabel as nib
import numpy as np
import pytest
import torch
import zoo
from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
from monai.apps.detection.transforms.dictionary import (
    AffineBoxToWorldCoordinated,
    ClipBoxToImaged,
    ConvertBoxModed,
)
from monai.apps.detection.utils.anchor_utils import AnchorGeneratorWithAnchorShape
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Orientationd, ScaleIntensityRanged, Spacingd

from medimg import volumes
from medimg.bundle import load_bundle
from medimg.bundles.as_pipeline import bundle_pipeline
from medimg.inference.answer import find_boxes, segment_labels
from medimg.inference.describe import described
from medimg.inference.device import choose_device
from medimg.study import Source, Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
BOX_MM, SCORE = 1e-3, 1e-4
TURN = np.deg2rad(12)
ROTATION = np.array([[np.cos(TURN), -np.sin(TURN), 0], [np.sin(TURN), np.cos(TURN), 0], [0, 0, 1]])


@pytest.fixture(scope="module")
def device():
    return choose_device("cpu", "fp32")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """The three bundles with small windows, described."""
    folder = tmp_path_factory.mktemp("zoo")
    paths = [
        zoo.brats_bundle(folder, (32, 32, 32)),
        zoo.organs_bundle(folder, (32, 32, 32), classes=20, filters=8),
        zoo.lung_bundle(folder, (32, 32, 16)),
    ]
    made = {}
    for path in paths:
        pipeline = bundle_pipeline(str(path), trusted=True)
        made[path.name] = described(load_bundle(path, trusted=True, recipe=pipeline.recipe), pipeline.recipe)
    return made


def scans(shape, affine, count, seed=0, low=0.0, high=1000.0):
    """Volumes of noise that is smooth over some voxels, with an edge of exact zeros or of air."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        coarse = torch.from_numpy(rng.normal(size=(1, 1, *(max(2, n // 4) for n in shape))).astype(np.float32))
        smooth = torch.nn.functional.interpolate(coarse, shape, mode="trilinear")[0, 0].numpy()
        array = (low + (smooth - smooth.min()) / np.ptp(smooth) * (high - low)).astype(np.float32)
        array[:4] = min(low, 0.0)
        made.append(Volume(array, np.asarray(affine, dtype=float), Source(None, "nifti")))
    return made


def without_warnings(function):
    """MONAI as it is warns of arguments that the zoo's configurations leave out, and of readers that are not there."""

    @functools.wraps(function)
    def quiet(*arguments):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*arguments)

    return quiet


@without_warnings
def monai_labels(config, network, paths):
    """What MONAI makes of the files with this configuration: its transforms, inferer and postprocessing, to the end."""
    config = deepcopy(config)
    chain = config["postprocessing"]["transforms"]
    config["postprocessing"]["transforms"] = [entry for entry in chain if entry["_target_"] != "SaveImaged"]
    parser = ConfigParser(config)
    parser["bundle_root"] = "."
    parser["device"] = "$torch.device('cpu')"
    preprocessing, inferer, postprocessing = (
        parser.get_parsed_content(key) for key in ("preprocessing", "inferer", "postprocessing")
    )
    data = preprocessing({"image": paths if len(paths) > 1 else paths[0]})
    with torch.inference_mode():
        pred = inferer(data["image"].as_tensor()[None], network)[0]
    return postprocessing({"image": data["image"], "pred": MetaTensor(pred)})["pred"].numpy()[0]


def written(folder, given):
    paths = [folder / f"{number}.nii.gz" for number, _ in enumerate(given)]
    for path, volume in zip(paths, given, strict=True):
        volumes.write_nifti(path, volume.array, volume.affine_ras)
    return [str(path) for path in paths]


@pytest.mark.parametrize(
    ("name", "config", "shape", "affine", "count"),
    [
        (zoo.BRATS, zoo.brats_config((32, 32, 32)), (40, 36, 28), LPS, 4),
        (zoo.ORGANS, zoo.organs_config((32, 32, 32), 20, 8), (30, 26, 24), np.diag([-1.7, -2.0, 2.5, 1.0]), 1),
    ],
)
def test_labels_are_those_of_monais_inferer_and_postprocessing(
    tmp_path, bundles, device, name, config, shape, affine, count
):
    given = scans(shape, affine, count, low=0.0 if count > 1 else -1000.0)
    model = bundles[name]
    expected = monai_labels(config, model.network, written(tmp_path, given))
    found = segment_labels(model, given, device)
    assert found.shape == shape
    assert len(np.unique(expected)) > 2
    assert np.array_equal(found, expected)


@without_warnings
def monai_boxes(network, path):
    """What MONAI's detector and box transforms make of the file: (N, 6) cccwhd in LPS mm, and scores."""
    anchors = AnchorGeneratorWithAnchorShape(
        feature_map_scales=[1, 2, 4], base_anchor_shapes=[[6, 8, 4], [8, 6, 5], [10, 10, 6]]
    )
    detector = RetinaNetDetector(network, anchors)
    detector.set_target_keys(box_key="box", label_key="label")
    detector.set_box_selector_parameters(
        score_thresh=0.02, topk_candidates_per_level=1000, nms_thresh=0.22, detections_per_img=300
    )
    detector.set_sliding_window_inferer(
        roi_size=(32, 32, 16), overlap=0.25, sw_batch_size=1, mode="constant", device="cpu"
    )
    image = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS"),
            Spacingd("image", pixdim=(0.703125, 0.703125, 1.25)),
            ScaleIntensityRanged("image", -1024.0, 300.0, 0.0, 1.0, clip=True),
        ]
    )({"image": path})["image"]
    detector.eval()
    with torch.inference_mode():
        (pred,) = detector([image.as_tensor()], use_inferer=True)
    after = Compose(
        [
            ClipBoxToImaged("box", label_keys=["label", "label_scores"], box_ref_image_keys="image", remove_empty=True),
            AffineBoxToWorldCoordinated("box", box_ref_image_keys="image", affine_lps_to_ras=True),
            ConvertBoxModed("box", src_mode="xyzxyz", dst_mode="cccwhd"),
        ]
    )({**pred, "image": image})
    order = torch.argsort(after["label_scores"], descending=True, stable=True)
    return after["box"][order].numpy(), after["label_scores"][order].numpy()


def test_boxes_and_scores_are_those_of_monais_detector(tmp_path, bundles, device):
    from medimg.stages.bundled import _finding

    model = bundles[zoo.LUNG]
    (given,) = scans((31, 23, 16), np.diag([-1.0, -1.0, 1.25, 1.0]), 1, low=-1000.0, high=300.0)
    boxes, scores = monai_boxes(model.network, written(tmp_path, [given])[0])
    found = find_boxes(model, given, device)
    findings = [_finding(found, index, "nodule") for index in range(len(found.scores))]
    assert len(boxes) == len(findings) > 5
    assert np.allclose([f.center_lps_mm for f in findings], boxes[:, :3], atol=BOX_MM)
    sides = [np.subtract(f.box_lps_mm[3:], f.box_lps_mm[:3]) for f in findings]
    assert np.allclose(sides, boxes[:, 3:], atol=BOX_MM)
    assert np.allclose([f.diameter_mm for f in findings], boxes[:, 3:].mean(axis=1), atol=BOX_MM)
    assert np.allclose([f.probability for f in findings], scores, atol=SCORE)


def stored_as(volume, codes):
    """The same scan with its axes stored in another order and direction."""
    turned = volume.turned(codes)
    return Volume(np.ascontiguousarray(turned.array), turned.affine_ras, volume.source)


def rotated(volume):
    """The same voxels in a patient who lies turned by some degrees: an oblique grid."""
    affine = volume.affine_ras.copy()
    affine[:3] = ROTATION @ affine[:3]
    return Volume(volume.array, affine, volume.source)


@pytest.mark.parametrize("codes", ["RAS", "LIP"])
@pytest.mark.parametrize("name", [zoo.BRATS, zoo.ORGANS])
def test_a_scan_stored_otherwise_gets_the_same_labels_in_the_world(bundles, device, name, codes):
    count = 4 if name == zoo.BRATS else 1
    affine = LPS if count == 4 else np.diag([-2.0, -2.0, 2.0, 1.0])
    given = scans((24, 28, 20), affine, count, seed=3, low=0.0 if count == 4 else -900.0)
    model = bundles[name]
    first = segment_labels(model, given, device)
    again = segment_labels(model, [stored_as(volume, codes) for volume in given], device)
    as_volume = Volume(again, given[0].turned(codes).affine_ras, given[0].source).turned("LPS")
    assert np.allclose(as_volume.affine_ras, given[0].affine_ras)
    assert np.array_equal(as_volume.array, first)
    assert nib.aff2axcodes(given[0].affine_ras) == ("L", "P", "S")
    oblique = segment_labels(model, [rotated(volume) for volume in given], device)
    assert np.mean(oblique == first) > 0.999  # an oblique affine rounds once more on its way


def test_a_chest_stored_otherwise_has_its_nodules_at_the_same_places(bundles, device):
    from medimg.stages.bundled import _finding

    model = bundles[zoo.LUNG]
    (given,) = scans((22, 22, 12), np.diag([-1.0, -1.0, 1.25, 1.0]), 1, seed=4, low=-1000.0, high=300.0)

    def centres(volume):
        found = find_boxes(model, volume, device)
        return np.array([_finding(found, index, "nodule").center_lps_mm for index in range(len(found.scores))])

    first = centres(given)
    assert len(first) > 3
    for codes in ("RAS", "LIP"):
        assert np.allclose(centres(stored_as(given, codes)), first, atol=1e-3)
    lps_rotation = np.diag([-1, -1, 1]) @ ROTATION @ np.diag([-1, -1, 1])
    turned = centres(rotated(given))
    distance = np.linalg.norm(turned[:, None] - (first @ lps_rotation.T)[None], axis=-1).min(axis=0)
    assert np.mean(distance < 0.1) > 0.9  # a box at the threshold of the NMS may come or go


def test_the_feature_extractor_has_the_names_and_size_of_monais():
    network = zoo.retina_net()
    assert len(network.state_dict()) == 190
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(20.90e6, abs=0.005e6)
    assert "feature_extractor.fpn.inner_blocks.0.weight" in network.state_dict()
    assert "feature_extractor.body.layer2.3.conv3.weight" in network.state_dict()
