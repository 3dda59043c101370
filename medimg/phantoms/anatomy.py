"""The shapes of a chest: where lungs, mediastinum, bones and vessels are, without any grid.

LPS mm with the origin in the middle of the chest: x to the patient's left, y to posterior, z to superior.
Sizes were chosen beside public chest CT (LIDC-IDRI) so that slices look alike; they are no measurements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medimg.phantoms import shapes, vessels
from medimg.phantoms.shapes import Field, Triple, Waves
from medimg.phantoms.vessels import Tubes

RIGHT, LEFT = -1.0, 1.0
"""Sign of x on the patient's two sides (LPS)."""

BODY_SEMI_AXES: Triple = (163.0, 106.0, np.inf)
CAVITY_SEMI_AXES: Triple = (126.0, 84.0, 150.0)
CAVITY_TOP_BEGINS_MM = -25.0
"""Below this the chest is a cylinder, above it a dome (LPS z)."""

SPINE_Y_MM = 66.0
SPINE_RADIUS_MM = 17.0
VERTEBRA_MM = 23.0
"""Height of one thoracic vertebra with its disc."""

RIB_PITCH_MM = 26.0
RIB_SLOPE = 0.45
"""Fall of a rib from the spine to the front, mm per mm."""

RIB_DEPTH_MM = 6.5
"""Middle of the rib outside the chest cavity's surface."""

DOMES: dict[float, tuple[Triple, Triple]] = {
    RIGHT: ((-60.0, 5.0, -192.0), (92.0, 98.0, 108.0)),
    LEFT: ((62.0, 5.0, -200.0), (92.0, 98.0, 104.0)),
}
HILUM = {RIGHT: np.array([-36.0, 8.0, 2.0]), LEFT: np.array([36.0, 8.0, 10.0])}
CARINA = np.array([2.0, 14.0, 28.0])

VESSEL_TIPS_PER_LUNG = 560
"""Ends of each of the two vessel trees of a lung; the count at which the phantom's lungs look like CT's."""

VESSEL_RADII_MM = (0.52, 6.5)
AIRWAY_TIPS_PER_LUNG = 10
AIRWAY_RADII_MM = (1.2, 4.5)
AIRWAY_WALL = (1.08, 0.6)
"""Outer radius of an airway = radius * the first + the second in mm."""

PLEURA_MARGIN_MM = 4.0
"""No vessel ends nearer to the lung's surface."""


@dataclass(frozen=True)
class Chest:
    """One patient: everything random about the anatomy, drawn from the seed."""

    scale: float
    heart_scale: float
    dome_shift_mm: float
    body_wave: Waves
    lung_wave: Waves
    muscle_wave: Waves
    fissure_wave: Waves
    pulmonary: Tubes
    bronchi: Tubes
    trachea: Tubes
    great_vessels: Tubes

    def lung(self, x: Field, y: Field, z: Field) -> Field:
        """Distance to the lungs (both)."""
        return lungs(x, y, z, self)


def draw_chest(rng: np.random.Generator) -> Chest:
    """A patient with vessels and airways grown into the lungs."""
    empty = Tubes(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 2)))
    bare = Chest(
        scale=float(rng.uniform(0.93, 1.03)),
        heart_scale=float(rng.uniform(0.92, 1.08)),
        dome_shift_mm=float(rng.uniform(-10, 10)),
        body_wave=Waves.draw(rng, 160.0, 6),
        lung_wave=Waves.draw(rng, 70.0, 8),
        muscle_wave=Waves.draw(rng, 45.0, 12),
        fissure_wave=Waves.draw(rng, 90.0, 4),
        pulmonary=empty,
        bronchi=empty,
        trachea=_trachea(),
        great_vessels=_great_vessels(),
    )
    trees = [_lung_trees(rng, bare, side) for side in (RIGHT, LEFT)]
    return replace(
        bare,
        pulmonary=vessels.joined([tree for pulmonary, _ in trees for tree in pulmonary]),
        bronchi=vessels.joined([bronchi for _, bronchi in trees]),
    )


def _trachea() -> Tubes:
    """Windpipe and the two main bronchi."""
    pipe = vessels.polyline(np.array([[2, 2, 160], [2, 8, 90], [*CARINA]]), [8.5, 8.5, 8.0])
    mains = [vessels.polyline([CARINA, HILUM[side] * 0.9 + [0, 0, 4]], [6.5, 4.5]) for side in (RIGHT, LEFT)]
    return vessels.joined([pipe, *mains])


def _lung_trees(rng: np.random.Generator, chest: Chest, side: float) -> tuple[list[Tubes], Tubes]:
    """Arteries and veins, and bronchi, of one lung."""
    hilum = HILUM[side]
    arteries = vessels.grow(rng, hilum, _points_in_lung(rng, chest, side, VESSEL_TIPS_PER_LUNG), VESSEL_RADII_MM)
    atrium = np.array([side * 26.0, 16.0, -14.0])
    veins = vessels.grow(rng, atrium, _points_in_lung(rng, chest, side, VESSEL_TIPS_PER_LUNG), VESSEL_RADII_MM)
    tips = _points_in_lung(rng, chest, side, AIRWAY_TIPS_PER_LUNG)
    # airways become too thin to see long before the pleura
    bronchi = vessels.grow(rng, hilum * 0.9 + [0, 0, 4], hilum + 0.45 * (tips - hilum), AIRWAY_RADII_MM)
    return [arteries, veins], bronchi


def _points_in_lung(rng: np.random.Generator, chest: Chest, side: float, count: int) -> NDArray[np.float64]:
    """`count` points (N, 3) spread evenly over one lung."""
    found = np.zeros((0, 3))
    low, high = np.array([0.0, -CAVITY_SEMI_AXES[1], -145.0]), np.array([*CAVITY_SEMI_AXES[:2], 130.0])
    while len(found) < count:
        points = rng.uniform(low, high, (8 * count, 3)) * [side, 1.0, 1.0]
        x, y, z = points.T.astype(np.float32)
        found = np.concatenate([found, points[lungs(x, y, z, chest) < -PLEURA_MARGIN_MM]])
    return found[:count]


def _great_vessels() -> Tubes:
    """Aorta with its arch, superior vena cava, pulmonary trunk and its two arteries."""
    aorta = [[4, -18, -10], [-12, -28, 18], [-8, -22, 40], [6, -4, 50], [18, 18, 47], [22, 36, 32], [20, 42, 0]]
    descending = [[20, 42, 0], [16, 44, -60], [8, 42, -160]]
    cava = [[-22, -14, -20], [-22, -14, 70], [-30, -20, 120]]
    trunk = [[16, -28, -12], [20, -12, 14], [8, 0, 12], [-36, 8, 2]]
    left = [[20, -12, 14], [36, 8, 10]]
    branches = [[[-6, -16, 46], [-14, -10, 130]], [[4, -6, 50], [10, -2, 130]], [[14, 10, 49], [24, 8, 130]]]
    tubes = [
        vessels.polyline(aorta, [15, 16, 15, 13.5, 13, 12.5, 12]),
        vessels.polyline(descending, [12, 11.5, 10]),
        vessels.polyline(cava, [10, 9, 8]),
        vessels.polyline(trunk, [13, 12, 10, 8]),
        vessels.polyline(left, [11, 8]),
        *(vessels.polyline(branch, [5, 4]) for branch in branches),
    ]
    return vessels.joined(tubes)


def body(x: Field, y: Field, z: Field, chest: Chest) -> Field:
    """Distance to the skin. Shoulders widen the top; the back is flatter than the front."""
    semi = (BODY_SEMI_AXES[0] * chest.scale, BODY_SEMI_AXES[1] * chest.scale, np.inf)
    outline = shapes.ellipsoid(x, y, z, (0.0, 2.0, 0.0), semi, power=2.4)
    return outline + 3.0 * chest.body_wave(x, y, z)


def cavity(x: Field, y: Field, z: Field, chest: Chest) -> Field:
    """Distance to the inside of the chest wall (and of the abdominal wall below it)."""
    above = np.maximum(z - np.float32(CAVITY_TOP_BEGINS_MM), 0)
    semi = (CAVITY_SEMI_AXES[0] * chest.scale, CAVITY_SEMI_AXES[1] * chest.scale, CAVITY_SEMI_AXES[2])
    return shapes.ellipsoid(x, y, above, (0.0, 0.0, 0.0), semi, power=2.3)


def heart(x: Field, y: Field, z: Field, chest: Chest) -> Field:
    """Distance to the heart, its apex to the left, front and below."""
    size = chest.heart_scale
    tilted = z + np.float32(0.35) * (x - np.float32(18))
    return shapes.ellipsoid(x, y, tilted, (20.0, -24.0, -42.0), (56.0 * size, 44.0 * size, 52.0 * size), power=2.2)


def mediastinum(x: Field, y: Field, z: Field, chest: Chest) -> Field:
    """Distance to what lies between the lungs: the heart, the hila, and the tissue from sternum to spine."""
    middle = shapes.ellipsoid(x, y, z, (0.0, 0.0, 0.0), (25.0, 88.0, np.inf))
    whole = shapes.smooth_min(middle, heart(x, y, z, chest) - np.float32(3), 18.0)
    for side in (RIGHT, LEFT):
        hx, hy, hz = (float(value) for value in HILUM[side])
        hilum = shapes.ellipsoid(x, y, z, (hx * 0.8, hy, hz - 6), (16.0, 17.0, 26.0))
        whole = shapes.smooth_min(whole, hilum, 14.0)
    arch = shapes.ellipsoid(x, y, z, (18.0, 24.0, 38.0), (22.0, 26.0, 26.0))
    descending = shapes.ellipsoid(x, y, z, (17.0, 43.0, 0.0), (17.0, 16.0, np.inf))
    return shapes.smooth_min(shapes.smooth_min(whole, arch, 10.0), descending, 10.0)


def spine(x: Field, y: Field, z: Field, inflate_mm: float = 0.0) -> Field:
    """Distance to the column of vertebral bodies."""
    semi = (SPINE_RADIUS_MM + inflate_mm, SPINE_RADIUS_MM - 2 + inflate_mm, np.inf)
    return shapes.ellipsoid(x, y, z, (0.0, SPINE_Y_MM, 0.0), semi, power=2.2)


def diaphragm(x: Field, y: Field, z: Field, chest: Chest) -> Field:
    """Distance to the abdomen under both domes."""
    lowered = z - np.float32(chest.dome_shift_mm)
    right, left = (shapes.ellipsoid(x, y, lowered, *DOMES[side]) for side in (RIGHT, LEFT))
    return shapes.smooth_min(right, left, 30.0)


def lungs(x: Field, y: Field, z: Field, chest: Chest) -> Field:
    """Distance to the two lungs: the chest cavity less mediastinum, spine and abdomen."""
    inside = cavity(x, y, z, chest) + np.float32(1.5)
    inside = shapes.smooth_max(inside, -spine(x, y, z, 7.0), 6.0)
    inside = shapes.smooth_max(inside, -mediastinum(x, y, z, chest), 6.0)
    inside = shapes.smooth_max(inside, -diaphragm(x, y, z, chest), 5.0)
    return np.asarray(inside + np.float32(0.9) * chest.lung_wave(x, y, z), dtype=np.float32)


def fissures(x: Field, y: Field, z: Field, chest: Chest) -> Field:
    """Distance to the oblique fissures: sheets from the upper back to the lower front."""
    height = z - np.float32(1.15) * (y - np.float32(5)) + np.float32(18)
    return np.asarray(np.abs(height + 6 * chest.fissure_wave(x, y, z)) * np.float32(0.66), dtype=np.float32)


def rib_shell(z: Field, y: Field, outside: Field) -> Field:
    """Distance to the ribs, given the distance `outside` of the chest cavity: oblique rings, one per pitch."""
    phase = z - np.float32(RIB_SLOPE) * y
    along = phase - RIB_PITCH_MM * np.round(phase / np.float32(RIB_PITCH_MM))
    radius = np.sqrt(((outside - np.float32(RIB_DEPTH_MM)) / np.float32(3.6)) ** 2 + (along / np.float32(6.2)) ** 2)
    return np.asarray((radius - 1) * np.float32(3.6), dtype=np.float32)
