"""Signed distances, random fields and vessel trees do what the phantoms rely on."""

from __future__ import annotations

import numpy as np
import pytest

from medimg import geometry
from medimg.phantoms import shapes, vessels
from medimg.phantoms.shapes import Grid, Waves


def points(*rows: tuple[float, float, float]) -> list[np.ndarray]:
    """x, y, z of a few points, each (N,)."""
    return list(np.array(rows, dtype=np.float32).T)


def test_sphere_distance_is_exact() -> None:
    distance = shapes.ellipsoid(*points((3, 0, 0), (0, 0, 10), (0, 4, 3)), (0, 0, 0), (5, 5, 5))
    np.testing.assert_allclose(distance, [-2, 5, 0], atol=1e-5)


def test_infinite_semi_axis_makes_a_cylinder() -> None:
    distance = shapes.ellipsoid(*points((7, 0, 0), (7, 0, 900)), (0, 0, 0), (5, 5, np.inf))
    np.testing.assert_allclose(distance, [2, 2], atol=1e-5)


def test_capsule_tapers_along_its_axis() -> None:
    distance = shapes.capsule(*points((0, 3, 0), (10, 3, 0), (-2, 0, 0)), (0, 0, 0), (10, 0, 0), (2.0, 1.0))
    np.testing.assert_allclose(distance, [1, 2, 0], atol=1e-5)


def test_smooth_union_is_never_smaller_than_the_plain_one() -> None:
    a, b = np.linspace(-5, 5, 21, dtype=np.float32), np.linspace(4, -6, 21, dtype=np.float32)
    union = shapes.smooth_min(a, b, 2.0)
    assert (union <= np.minimum(a, b) + 1e-6).all()
    assert union[0] == pytest.approx(-5)


def test_coverage_is_half_on_the_surface() -> None:
    np.testing.assert_allclose(shapes.coverage(np.array([-3, 0, 3], dtype=np.float32), 1.0), [1, 0.5, 0])


def test_waves_agree_between_grid_and_points() -> None:
    field = Waves.draw(np.random.default_rng(0), 20.0)
    grid = Grid.centred((4, 5, 6), (1.0, 2.0, 3.0), (10.0, 0.0, -5.0))
    on_grid = field(*grid.coordinates())
    x, y, z = np.broadcast_arrays(*grid.coordinates())
    np.testing.assert_allclose(on_grid.ravel(), field(x.ravel(), y.ravel(), z.ravel()), atol=1e-4)


def test_waves_have_unit_variance() -> None:
    grid = Grid.centred((40, 40, 40), (5.0, 5.0, 5.0), (0.0, 0.0, 0.0))
    field = Waves.draw(np.random.default_rng(0), 20.0, 24)(*grid.coordinates())
    assert field.std() == pytest.approx(1, abs=0.1)


def test_grid_is_centred_and_its_affine_agrees_with_its_coordinates() -> None:
    grid = Grid.centred((4, 5, 7), (1.0, 2.0, 3.0), (10.0, 20.0, -5.0))
    x, y, z = grid.coordinates()
    assert (float(x.mean()), float(y.mean()), float(z.mean())) == (10.0, 20.0, -5.0)
    corner = geometry.ras_to_lps(geometry.to_world(grid.affine_ras, (3, 4, 6)))
    np.testing.assert_allclose(corner, [x.max(), y.max(), z.max()])


def test_window_holds_exactly_the_voxels_in_the_box() -> None:
    grid = Grid((10, 10, 10), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    assert grid.window((2.5, -4, 9), (4, 0.5, 30)) == (slice(3, 5), slice(0, 1), slice(9, 10))
    assert grid.window((11, 0, 0), (12, 5, 5)) is None
    assert grid.window((-3, 0, 0), (-1, 5, 5)) is None


def test_tree_reaches_every_tip_and_tapers() -> None:
    rng = np.random.default_rng(1)
    tips = rng.uniform(20, 60, (50, 3))
    tree = vessels.grow(rng, (0, 0, 0), tips, (0.5, 4.0))
    assert np.linalg.norm(tree.end[None] - tips[:, None], axis=2).min(axis=1).max() < 1e-9
    assert (tree.radius[:, 1] <= tree.radius[:, 0] + 1e-9).all()
    assert tree.radius.min() == pytest.approx(0.5)


def test_tree_is_connected() -> None:
    rng = np.random.default_rng(1)
    tree = vessels.grow(rng, (0, 0, 0), rng.uniform(20, 60, (20, 3)), (0.5, 4.0))
    joints = np.concatenate([tree.end, np.zeros((1, 3))])
    assert np.linalg.norm(tree.start[:, None] - joints[None], axis=2).min(axis=1).max() < 1e-9


def test_rendered_tube_agrees_with_its_distance() -> None:
    grid = Grid.centred((20, 20, 20), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    tube = vessels.polyline([[-6, 0, 0], [6, 2, 1]], [3, 2])
    share = vessels.render(tube, grid, 1.0)
    x, y, z = np.broadcast_arrays(*grid.coordinates())
    distance = tube.distance(np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1))[:, 0].reshape(grid.shape)
    assert ((share > 0.5) == (distance < 0)).mean() > 0.999


def test_tubes_outside_the_grid_are_left_out() -> None:
    grid = Grid.centred((4, 4, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    assert not vessels.render(vessels.polyline([[50, 0, 0], [60, 0, 0]], 2.0), grid, 1.0).any()
