"""The detector without a network, on phantoms of known truth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from medimg import geometry
from medimg.classical.blobs import Blobs, _highest, blobs
from medimg.classical.classifier import LIMIT, ShapeClassifier, read_classifier
from medimg.classical.find import MIN_DISTANCE_MM, NO_BLOB_LOGIT, candidates, confirmed, find
from medimg.classical.region import LUNG_HU, Region, searched
from medimg.classical.shape import FEATURES, describe, directions
from medimg.errors import PipelineError
from medimg.inference.roi import Chest
from medimg.pipeline import load_pipeline
from medimg.results import Finding
from medimg.study import Source, Volume
from medimg.volumes import write_nifti

AFFINE = np.array([[-1.0, 0, 0, 30], [0, -1.0, 0, 20], [0, 0, 1.0, -5], [0, 0, 0, 1]])
SIZE = 61


def grid():
    return np.moveaxis(np.indices((SIZE,) * 3), 0, -1).astype(float)


def ball(centre, diameter):
    return ((grid() - np.array(centre)) ** 2).sum(-1) <= (diameter / 2) ** 2


def lung():
    return np.random.default_rng(0).normal(LUNG_HU, 15, (SIZE,) * 3)


def tube(hu, diameter):
    """A vessel along the third axis."""
    away = ((grid()[..., :2] - 40) ** 2).sum(-1)
    hu[away <= (diameter / 2) ** 2] = 30
    return hu


def excerpt(hu, affine=AFFINE):
    return Volume(hu.astype(np.int16), affine, Source(Path("x"), "memory"), "CT")


def weighing(**linear):
    """A classifier that adds up some features as they are."""
    count = len(FEATURES)
    weights = np.array([linear.get(name, 0.0) for name in FEATURES])
    return ShapeClassifier(np.zeros(count), np.full(count, 300.0), weights, np.zeros((count, count)), 0.0)


@pytest.mark.parametrize("diameter", [5, 8, 12, 18, 26])
def test_a_ball_is_a_blob_of_its_own_size_at_its_own_place(diameter):
    hu = lung()
    hu[ball((30, 28, 31), diameter)] = 30
    region = searched(Chest(excerpt(hu)))
    found = blobs(region.hu, region.lung)
    first = found.select(np.array([0]))
    # axes of the excerpt run L, P, S; the region's R, A, S
    np.testing.assert_allclose(first.voxels[0], (SIZE - 1 - 30, SIZE - 1 - 28, 31), atol=1.5)
    measured = np.exp(describe(region, first)[0, FEATURES.index("log_diameter")])
    assert measured == pytest.approx(diameter, rel=0.2)


def test_shape_tells_a_ball_from_a_tube():
    hu = tube(lung(), 8)
    hu[ball((15, 15, 30), 8)] = 30
    region = searched(Chest(excerpt(hu)))
    found = blobs(region.hu, region.lung)
    table = describe(region, found)
    at = {name: table[:, index] for index, name in enumerate(FEATURES)}
    is_ball = np.linalg.norm(found.voxels - (SIZE - 16, SIZE - 16, 30), axis=1) < 2
    on_tube = np.linalg.norm(found.voxels[:, :2] - (SIZE - 41, SIZE - 41), axis=1) < 2
    on_tube &= found.response_hu > 100
    assert is_ball.sum() == 1
    assert on_tube.any()
    assert at["blobness"][is_ball].min() > 0.5 > at["blobness"][on_tube].max()
    assert at["attached_fraction"][is_ball].max() == 0 < at["attached_fraction"][on_tube].min()
    assert at["opposed_exits"][is_ball].max() == 0 < np.median(at["opposed_exits"][on_tube])
    assert at["elongation"][is_ball].min() > 0.8 > at["elongation"][on_tube].max()


def test_a_nodule_at_the_pleura_is_a_blob_because_the_wall_is_taken_away():
    hu = lung()
    hu[:, :, 40:] = 40
    hu[ball((30, 30, 38), 9)] = 40
    region = searched(Chest(excerpt(hu)))
    found = blobs(region.hu, region.lung)
    assert not region.whole
    assert np.linalg.norm(found.voxels - (30, 30, 37), axis=1).min() < 2.5
    assert not region.lung[:, :, 52:].any()


def test_rays_are_spread_evenly():
    rays = directions()
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1)
    np.testing.assert_allclose(rays.mean(axis=0), 0, atol=0.02)


def test_findings_are_in_the_patients_frame_strongest_first_and_apart():
    hu = lung()
    hu[ball((15, 15, 30), 10)] = 30
    hu[ball((45, 40, 20), 7)] = -300
    affine = AFFINE @ np.diag([0.8, 0.8, 1.25, 1.0])
    volume = excerpt(hu, affine)
    findings, warnings = find(Chest(volume), weighing(contrast_hu=4.0), "nodule")
    assert "no lung was found" in warnings[0]
    places = np.array([finding.center_lps_mm for finding in findings])
    for voxel in ((15, 15, 30), (45, 40, 20)):
        truth = geometry.ras_to_lps(geometry.to_world(affine, voxel))
        assert np.linalg.norm(places - truth, axis=1).min() < 2
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2)
    assert gaps[~np.eye(len(places), dtype=bool)].min() >= MIN_DISTANCE_MM
    probabilities = [finding.probability for finding in findings]
    assert probabilities == sorted(probabilities, reverse=True)
    assert "shape_blobness" in findings[0].measurements


def test_evidence_adds_up_to_the_logit():
    rng = np.random.default_rng(3)
    count = len(FEATURES)
    classifier = ShapeClassifier(*rng.normal(1, 0.3, (3, count)), np.triu(rng.normal(0, 1, (count, count))), 0.5)
    features = rng.normal(0, 2, (5, count))
    z = np.clip((features - classifier.mean) / classifier.deviation, -LIMIT, LIMIT)
    expected = 0.5 + z @ classifier.linear + np.einsum("ni,ij,nj->n", z, classifier.products, z)
    np.testing.assert_allclose(classifier.logit(features), expected)
    np.testing.assert_allclose(classifier.evidence(features).sum(axis=1) + 0.5, expected)


def test_a_second_opinion_moves_a_probability_towards_the_shape():
    hu = lung()
    hu[ball((30, 30, 30), 9)] = 30
    volume = excerpt(hu)

    def finding(number, voxel):
        centre = geometry.ras_to_lps(geometry.to_world(AFFINE, voxel))
        return Finding(f"nodule-{number}", "nodule", tuple(centre), 9.0, None, None, probability=0.5)

    both = [finding(1, (5, 55, 8)), finding(2, (30, 30, 31))]
    liked = weighing(contrast_hu=4.0)
    first, second = confirmed(both, candidates(Chest(volume)), liked, 0.5)
    assert first.id == "nodule-2"
    assert first.probability > 0.9
    assert second.probability == pytest.approx(1 / (1 + np.exp(-0.5 * NO_BLOB_LOGIT)), abs=0.05)
    assert [f.probability for f in confirmed(both, candidates(Chest(volume)), liked, 0.0)] == pytest.approx([0.5, 0.5])
    assert confirmed([], candidates(Chest(volume)), liked, 0.5) == []


def test_a_classifier_survives_its_file(tmp_path):
    classifier = weighing(blobness=1.5, exits=-2)
    (tmp_path / "shape.json").write_text(classifier.text())
    again = read_classifier(tmp_path / "shape.json")
    np.testing.assert_array_equal(again.linear, classifier.linear)
    np.testing.assert_array_equal(again.products, classifier.products)


@pytest.mark.parametrize("change", [{"features": ["size"]}, {"mean": [1, 2]}])
def test_a_classifier_of_other_features_is_refused(tmp_path, change):
    document = json.loads(weighing().text()) | change
    (tmp_path / "shape.json").write_text(json.dumps(document))
    with pytest.raises(PipelineError, match="train it again"):
        read_classifier(tmp_path / "shape.json")


def test_a_classifier_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(PipelineError, match="cannot read the shape classifier"):
        read_classifier(tmp_path / "shape.json")


def test_it_runs_from_scan_to_report_where_torch_is_not_installed(tmp_path):
    hu = lung()
    hu[ball((30, 30, 30), 12)] = 30
    write_nifti(tmp_path / "ct.nii.gz", hu.astype(np.int16), AFFINE)
    script = (
        "import sys; sys.modules['torch'] = sys.modules['monai'] = None\n"
        "from medimg.cli import cli\n"
        f"cli(['infer', '--pipeline', 'lung_nodule_classical', '--volume', {str(tmp_path / 'ct.nii.gz')!r},"
        f" '-o', {str(tmp_path / 'out')!r}])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    centre = geometry.ras_to_lps(geometry.to_world(AFFINE, (30, 30, 30)))
    assert np.linalg.norm(np.subtract(report["findings"][0]["center_lps_mm"], centre)) < 2
    assert report["provenance"]["device"]["chosen"] == "cpu, no network"


def test_it_is_only_chosen_by_name():
    assert not load_pipeline("lung_nodule_classical").automatic
    assert load_pipeline("lung_nodule").automatic


def test_maxima_and_depths_are_those_of_filters_over_the_whole_image():
    """What is computed at a few voxels only equals scipy's answer for every voxel."""
    random = np.random.default_rng(3)
    response = random.normal(0, 40, (23, 19, 21)).astype(np.float32)
    response[5:8, 5:8, 5:8] = 90  # a plateau is all maximum
    strong = response > 25
    expected = strong & (response >= ndimage.maximum_filter(response, 3, mode="nearest"))
    assert np.array_equal(_highest(response, np.argwhere(strong)), np.argwhere(expected))

    inner = ball((30, 30, 30), 44) & ~ball((44, 30, 30), 14)
    region = Region(np.full(inner.shape, LUNG_HU, np.float32), inner, np.eye(4), whole=True)
    voxels = random.uniform(2, SIZE - 3, (60, 3))
    depth = ndimage.distance_transform_edt(np.pad(inner[::2, ::2, ::2], 1, mode="edge")) * 2
    cells = np.rint(voxels / 2).astype(int) + 1
    asked = Blobs(voxels, np.full(60, 8.0), np.full(60, 50.0), np.full((60, 3), -1.0))
    measured = describe(region, asked)[:, FEATURES.index("surface_distance_mm")]
    assert measured == pytest.approx(np.minimum(depth[tuple(cells.T)], 30.0))
    assert measured.max() > 5
