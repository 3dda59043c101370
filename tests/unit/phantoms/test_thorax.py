"""The chest phantom holds what its truth says."""

from __future__ import annotations

import numpy as np
import pytest

from medimg import geometry
from medimg.errors import UsageError
from medimg.phantoms import anatomy
from medimg.phantoms.nodules import Nodule
from medimg.phantoms.thorax import (
    DIAMETER_RANGE_MM,
    HU_RANGE,
    TWIG_RADIUS_MM,
    VESSEL_GAP_MM,
    WALL_GAP_MM,
    ThoraxPhantom,
    plan_thorax,
    scan,
    thorax,
)

PIECE = (40, 40, 40)
MM = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def coarse() -> ThoraxPhantom:
    """The whole chest in large voxels."""
    return thorax((88, 88, 60), (4.0, 4.0, 5.0), seed=3)


@pytest.fixture(scope="module")
def pieces() -> list[ThoraxPhantom]:
    """One patient's every nodule at 1 mm, in the middle of its own piece."""
    plan = plan_thorax(20)
    return [scan(plan, PIECE, MM, nodule.center_lps_mm) for nodule in plan.nodules]


def test_same_seed_gives_the_same_scan(coarse: ThoraxPhantom) -> None:
    again = thorax((88, 88, 60), (4.0, 4.0, 5.0), seed=3)
    np.testing.assert_array_equal(again.array, coarse.array)
    assert again.nodules == coarse.nodules


def test_other_seed_gives_another_patient(coarse: ThoraxPhantom) -> None:
    other = plan_thorax(4)
    assert other.nodules != coarse.nodules


def test_scan_is_int16_hounsfield_units_with_air_around(coarse: ThoraxPhantom) -> None:
    assert coarse.array.dtype == np.int16
    assert coarse.array.min() >= HU_RANGE[0]
    assert coarse.array.max() <= HU_RANGE[1]
    assert np.median(coarse.array[0]) == pytest.approx(-1000, abs=15)


def test_tissues_are_where_the_anatomy_says(coarse: ThoraxPhantom) -> None:
    def around(point_lps: tuple[float, float, float]) -> float:
        i, j, k = np.rint(geometry.to_voxel(coarse.affine_ras, geometry.ras_to_lps(point_lps))).astype(int)
        return float(np.median(coarse.array[i - 1 : i + 2, j - 1 : j + 2, k - 1 : k + 2]))

    for side in (anatomy.RIGHT, anatomy.LEFT):
        assert -950 < around((side * 85, 10, 20)) < -750
    assert 10 < around((20, -24, -42)) < 260  # heart
    assert around((0, anatomy.SPINE_Y_MM, 9)) > 130  # bone marrow
    assert around((2, 6, 100)) < -850  # trachea
    assert 20 < around((-60, 5, -135)) < 140  # liver


def test_lungs_have_the_volume_of_lungs(coarse: ThoraxPhantom) -> None:
    x, y, z = np.meshgrid(*[np.arange(low, 150, 5, dtype=np.float32) for low in (-150, -110, -150)], indexing="ij")
    litres = float((plan_thorax(3).chest.lung(x, y, z) < 0).sum()) * 125 / 1e6
    assert 2.0 < litres < 6.0


def test_axes_run_to_left_posterior_superior(coarse: ThoraxPhantom) -> None:
    assert geometry.axis_codes(coarse.affine_ras) == "LPS"
    np.testing.assert_allclose(geometry.spacing_mm(coarse.affine_ras), (4.0, 4.0, 5.0))


def test_nodule_lies_at_its_centre_with_its_volume(pieces: list[ThoraxPhantom]) -> None:
    for index, piece in enumerate(pieces):
        nodule = piece.nodules[index]
        inside = np.argwhere(piece.nodule_labels == index + 1)
        centroid = geometry.ras_to_lps(geometry.to_world(piece.affine_ras, inside.mean(axis=0)))
        assert np.linalg.norm(centroid - nodule.center_lps_mm) < 0.15 * nodule.diameter_mm
        volume = np.pi / 6 * nodule.diameter_mm**3
        assert len(inside) == pytest.approx(volume, rel=0.15)


@pytest.mark.parametrize(("kind", "low", "high"), [("solid", -30, 80), ("ground_glass", -680, -480)])
def test_attenuation_inside_is_that_of_the_kind(kind: str, low: float, high: float) -> None:
    center = (85.0, 10.0, 20.0)
    piece = thorax(PIECE, MM, seed=1, center_lps_mm=center, nodules=[Nodule(center, 14.0, kind)])  # type: ignore[arg-type]
    middle = tuple(slice(n // 2 - 2, n // 2 + 2) for n in PIECE)
    assert low < float(piece.array[middle].mean()) < high


def test_part_solid_nodule_is_dense_in_the_middle_only() -> None:
    center = (85.0, 10.0, 20.0)
    piece = thorax(PIECE, MM, seed=1, center_lps_mm=center, nodules=[Nodule(center, 18.0, "part_solid")])
    distance = np.linalg.norm(np.indices(PIECE) - np.reshape([(n - 1) / 2 for n in PIECE], (3, 1, 1, 1)), axis=0)
    assert piece.array[distance < 2].mean() > -50
    assert -800 < piece.array[(distance > 6.5) & (distance < 7.5)].mean() < -400


def test_nodules_keep_clear_of_wall_and_wide_vessels() -> None:
    for seed in range(3):
        plan = plan_thorax(seed)
        assert len(plan.nodules) == 4
        wide = plan.chest.pulmonary.kept(plan.chest.pulmonary.radius.max(axis=1) > TWIG_RADIUS_MM)
        for nodule in plan.nodules:
            radius = nodule.diameter_mm / 2
            x, y, z = (np.array([value], dtype=np.float32) for value in nodule.center_lps_mm)
            assert DIAMETER_RANGE_MM[0] <= nodule.diameter_mm <= DIAMETER_RANGE_MM[1]
            assert -plan.chest.lung(x, y, z)[0] > radius + WALL_GAP_MM
            assert wide.distance([nodule.center_lps_mm]).min() > radius + VESSEL_GAP_MM


def test_anatomy_is_the_same_on_every_grid() -> None:
    plan = plan_thorax(5, noise_hu=1.0)
    center = plan.nodules[0].center_lps_mm
    fine, coarse = scan(plan, (48, 48, 48), MM, center), scan(plan, (16, 16, 16), (3.0, 3.0, 3.0), center)
    blocks = fine.array.reshape(16, 3, 16, 3, 16, 3).mean(axis=(1, 3, 5))
    assert np.corrcoef(blocks.ravel(), coarse.array.ravel())[0, 1] > 0.9


def test_given_nodules_are_taken_as_they_are() -> None:
    wanted = (Nodule((80.0, 0.0, 0.0), 9.0), Nodule((-80.0, 0.0, 0.0), 6.0, "ground_glass"))
    assert plan_thorax(0, nodules=wanted).nodules == wanted


def test_a_patient_without_nodules_has_none() -> None:
    piece = thorax((8, 8, 8), (10.0, 10.0, 10.0), count=0)
    assert piece.nodules == ()
    assert not piece.nodule_labels.any()


def test_too_many_nodules_are_refused() -> None:
    with pytest.raises(UsageError, match="no room for 500 nodules"):
        plan_thorax(0, count=500)


@pytest.mark.parametrize(("diameter", "kind"), [(0.0, "solid"), (float("nan"), "solid"), (5.0, "gas")])
def test_impossible_nodules_are_refused(diameter: float, kind: str) -> None:
    with pytest.raises(UsageError):
        Nodule((0.0, 0.0, 0.0), diameter, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(("shape", "spacing"), [((1, 8, 8), MM), ((8, 8, 8), (1.0, 0.0, 1.0))])
def test_impossible_grids_are_refused(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="no grid"):
        scan(plan_thorax(0, count=0), shape, spacing)
