from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from medimg import geometry
from medimg.measure import common, measure_nodule, segment_nodule
from medimg.measure.nodule import SIZES
from medimg.phantoms import excerpt
from medimg.phantoms.thorax import thorax
from medimg.study import Source, Volume
from medimg.volumes import read_volume

FINE_ERROR, THICK_ERROR = 0.05, 0.15


def sphere_mm3(diameter: float) -> float:
    return math.pi / 6 * diameter**3


def measured(volume, center, diameter):
    nodule = segment_nodule(volume, center, diameter)
    assert nodule is not None
    return measure_nodule(volume, nodule)


@pytest.mark.parametrize("diameter", [6.0, 9.0, 15.0])
@pytest.mark.parametrize("name", ["isotropic", "thin", "permuted", "oblique", "thick"])
def test_the_volume_of_a_sphere_is_right_on_any_grid(name, diameter, grids, phantom):
    volume, center = phantom(grids[name], (diameter / 2,) * 3)
    found = measured(volume, center, diameter)
    allowed = THICK_ERROR if name == "thick" else FINE_ERROR
    assert found["volume_mm3"] == pytest.approx(sphere_mm3(diameter), rel=allowed)
    assert found["equivalent_diameter_mm"] == pytest.approx(diameter, rel=allowed / 2)
    assert found["touches_border"] is False


def test_the_axes_of_an_ellipsoid_are_axial(grids, phantom):
    volume, center = phantom(grids["isotropic"], (8.0, 5.0, 11.0))
    found = measured(volume, center, 15.0)
    assert found["long_axis_mm"] == pytest.approx(16.0, abs=1.0)
    assert found["short_axis_mm"] == pytest.approx(10.0, abs=1.0)
    assert found["mean_axis_mm"] == pytest.approx((found["long_axis_mm"] + found["short_axis_mm"]) / 2, abs=1e-3)


def test_the_density_is_that_of_the_nodule_whatever_blurs_its_edge(grids, phantom):
    volume, center = phantom(grids["isotropic"], (8.0, 8.0, 8.0))
    found = measured(volume, center, 16.0)
    assert found["mean_hu"] == pytest.approx(30.0, abs=10.0)
    assert found["median_hu"] == pytest.approx(30.0, abs=2.0)
    assert found["sd_hu"] < 5.0


@pytest.mark.parametrize("hu", [-650.0, -550.0, -300.0])
def test_ground_glass_has_a_boundary_too(hu, grids, phantom):
    volume, center = phantom(grids["isotropic"], (6.0, 6.0, 6.0), hu=hu)
    assert measured(volume, center, 12.0)["volume_mm3"] == pytest.approx(sphere_mm3(12.0), rel=FINE_ERROR)


@pytest.mark.parametrize("shift", [(2.0, 0.0, 0.0), (0.0, -1.5, 1.5)])
@pytest.mark.parametrize("believed", [8.5, 11.5])
def test_a_detection_a_little_off_gives_the_same_nodule(shift, believed, grids, phantom):
    volume, center = phantom(grids["isotropic"], (5.0, 5.0, 5.0))
    assert measured(volume, center + np.array(shift), believed)["volume_mm3"] == pytest.approx(sphere_mm3(10), rel=0.1)


def test_a_vessel_is_cut_off(grids, phantom):
    def vessel(points):
        away = np.linalg.norm(points[..., :2], axis=-1)
        return (away <= 1.5).astype(float)

    volume, center = phantom(grids["isotropic"], (6.0, 6.0, 6.0), extra=vessel)
    assert measured(volume, center, 12.0)["volume_mm3"] == pytest.approx(sphere_mm3(12.0), rel=0.15)


def test_a_nodule_on_the_chest_wall_does_not_take_the_wall_with_it(grids, phantom):
    volume, center = phantom(grids["isotropic"], (6.0, 6.0, 6.0), extra=lambda p: (p[..., 0] > 5.0).astype(float))
    # the cap of 1 mm that lies in the wall is not the nodule's
    cap = math.pi / 3 * (3 * 6.0 - 1.0)
    assert measured(volume, center, 12.0)["volume_mm3"] == pytest.approx(sphere_mm3(12.0) - cap, rel=FINE_ERROR)


@pytest.mark.parametrize(("spacing", "allowed"), [((1.0, 1.0, 1.0), FINE_ERROR), ((0.7, 0.7, 2.5), THICK_ERROR)])
@pytest.mark.parametrize("sunk", [0.25, 0.5])
def test_a_nodule_sunk_in_the_pleura_is_what_lies_in_the_lung(sunk, spacing, allowed):
    made = excerpt.excerpt(excerpt.on_wall((0.3, -0.2, 0.4), 10.0, sunk), spacing, 32.0, noise_hu=25.0)
    center = geometry.ras_to_lps(np.array([-0.3, 0.2, 0.4]))
    assert measured(made.volume, center, 10.0)["volume_mm3"] == pytest.approx(made.volume_mm3, rel=allowed)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 2.5)])
def test_a_small_core_keeps_its_rim_and_is_told_part_solid(spacing):
    made = excerpt.excerpt(excerpt.part_solid((0.3, -0.2, 0.4), 6.0), spacing, 32.0, noise_hu=25.0, seed=3)
    found = measured(made.volume, (0.3, -0.2, 0.4), 6.0)
    assert found["volume_mm3"] == pytest.approx(made.volume_mm3, rel=2 * FINE_ERROR)
    assert found["attenuation"] == "part-solid"
    assert found["solid_volume_mm3"] == pytest.approx(sphere_mm3(3.0), rel=0.4)


@pytest.mark.parametrize("seed", range(3))
def test_no_core_is_told_where_there_is_none(seed):
    made = excerpt.excerpt(excerpt.solid_sphere((0.3, -0.2, 0.4), 6.0, excerpt.GLASS_HU), noise_hu=25.0, seed=seed)
    nodule = segment_nodule(made.volume, (0.3, -0.2, 0.4), 6.0)
    assert nodule is not None
    assert nodule.outline.core is None


def test_a_second_nodule_nearby_is_not_taken_in(grids, phantom):
    volume, center = phantom(
        grids["isotropic"],
        (4.0, 4.0, 4.0),
        extra=lambda p: (np.linalg.norm(p - [10.0, 0, 0], axis=-1) < 4).astype(float),
    )
    assert measured(volume, center, 8.0)["volume_mm3"] == pytest.approx(sphere_mm3(8.0), rel=FINE_ERROR)


def test_a_nodule_cut_by_the_border_has_no_sizes(grids, phantom):
    volume, center = phantom(grids["isotropic"], (6.0, 6.0, 6.0), offset_mm=(28.0, 0.0, 0.0))
    found = measured(volume, center, 12.0)
    assert found["touches_border"] is True
    assert {found[name] for name in SIZES} == {None}
    assert found["mean_hu"] is not None


def test_nothing_is_outlined_in_plain_lung_or_outside_the_scan(grids, phantom):
    volume, center = phantom(grids["isotropic"], (4.0, 4.0, 4.0))
    assert segment_nodule(volume, center + np.array([18.0, 0, 0]), 6.0) is None
    assert segment_nodule(volume, center + np.array([500.0, 0, 0]), 6.0) is None


def test_the_mask_lies_in_the_scan_where_the_nodule_is(grids, phantom):
    volume, center = phantom(grids["oblique"], (5.0, 5.0, 5.0))
    nodule = segment_nodule(volume, center, 10.0)
    assert nodule is not None
    voxels = nodule.voxels()
    assert np.linalg.norm(common.centroid_lps_mm(voxels, volume.affine_ras) - center) < 0.3
    assert len(voxels) == nodule.mask.sum()
    distance = np.linalg.norm(geometry.to_world(volume.affine_lps, voxels) - center, axis=1)
    assert distance.max() < 6.0


@pytest.mark.real
def test_real_nodules_agree_with_a_reader(shared_data):
    """98 LIDC-IDRI nodules against one reader's outline, from the reader's centre and diameter.

    The reader's outline takes in the blurred rim, so the half maximum is smaller: volume bias -35 %, limits of
    agreement -86 % to +17 % of the mean of both, mean Dice 0.71 (docs/measurements.md). Held between bounds here.
    """
    folder = shared_data / "lung" / "lidc_nodule_crops"
    ratios, overlaps = [], []
    with (folder / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        volume = read_volume(folder / f"{row['case']}_ct.nii.gz")
        truth = read_volume(folder / f"{row['case']}_nodule.nii.gz").array > 0
        center = common.centroid_lps_mm(np.argwhere(truth), volume.affine_ras)
        nodule = segment_nodule(volume, center, float(row["equivalent_diameter_mm"]))
        assert nodule is not None, row["case"]
        found = np.zeros_like(truth)
        found[tuple(nodule.voxels().T)] = True
        ratios.append(found.sum() / truth.sum())
        overlaps.append(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    ratio = np.array(ratios)
    relative = 200 * (ratio - 1) / (ratio + 1)
    bias, spread = float(relative.mean()), 1.96 * float(relative.std())
    assert len(ratios) == 98
    assert np.mean(overlaps) > 0.68
    assert -45 < bias < -20
    assert spread < 60


@pytest.fixture(scope="module")
def chest():
    made = thorax((128, 128, 60), (2.8, 2.8, 5.0), seed=22)
    return Volume(made.array, made.affine_ras, Source(Path("chest"), "nifti"), modality="CT")


@pytest.mark.parametrize(
    ("index", "diameter"), [((75, 64, 39), 6.0), ((108, 67, 22), 8.0), ((97, 83, 29), 18.0), ((21, 91, 24), 18.0)]
)
def test_a_detection_that_is_nothing_but_wall_has_no_outline(index, diameter, chest):
    # a detector may point anywhere: with the wall taken off, no volume is left, or less than none
    center = geometry.ras_to_lps(geometry.to_world(chest.affine_ras, index))
    assert segment_nodule(chest, center, diameter) is None


@pytest.mark.parametrize(("depth_mm", "diameter_mm"), [(1.0, 4.0), (1.0, 8.0), (3.0, 8.0), (6.0, 13.0), (14.0, 4.0)])
def test_a_detection_in_the_wall_where_nothing_stands_out_has_no_outline(depth_mm, diameter_mm):
    wall_mm = 20
    array = np.full((60, 60, 60), -860.0, np.float32)
    array[:wall_mm] = 30.0
    volume = Volume(array, np.eye(4), Source(Path("wall.nii.gz"), "nifti"), "CT")
    assert segment_nodule(volume, (-(wall_mm - 1 - depth_mm), -30.2, 30.3), diameter_mm) is None
