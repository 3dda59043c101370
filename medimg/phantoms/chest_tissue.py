"""Hounsfield units of a chest: paints one `Chest` onto a grid."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from medimg.phantoms import anatomy, shapes, vessels
from medimg.phantoms.anatomy import Chest
from medimg.phantoms.shapes import Field, Grid, Triple, coverage, paint

AIR, LUNG, FAT, MUSCLE, LIVER, SPLEEN = -1000.0, -868.0, -102.0, 52.0, 58.0, 48.0
"""Usual HU of tissues without contrast medium (textbook values; lung as in LIDC-IDRI, about -900 to -850)."""

CORTICAL, SPONGY, CARTILAGE, DISC, MARROW_CANAL = 820.0, 190.0, 110.0, 80.0, 25.0
AIRWAY_WALL, AIRWAY_LUMEN, TABLE = -150.0, -985.0, -120.0

GRAVITY_HU_PER_MM = 0.28
"""Lung is denser where it lies (posterior): about 45 HU from front to back in LIDC-IDRI-0001."""

LUNG_TEXTURE = ((1.1, 22.0), (4.0, 12.0))
"""(correlation length as Gaussian sigma in mm, standard deviation in HU) of the parenchyma."""

FISSURE_HU = 90.0
"""By how much the thin sheet of a fissure is denser than lung at usual resolution."""

BRANCH_SEEN_MM = 2.0
"""How far outside the lung its vessels and bronchi are drawn."""


def render(chest: Chest, grid: Grid, blood_hu: float, rng: np.random.Generator) -> tuple[Field, Field]:
    """HU before nodules, blur and noise, and the share of lung in each voxel; both (I, J, K)."""
    x, y, z = grid.coordinates()
    width = edge_width(grid)
    volume = np.full(grid.shape, AIR, dtype=np.float32)
    paint(volume, coverage(_table(x, y, z), width), TABLE)
    outside = anatomy.cavity(x, y, z, chest)
    _chest_wall(volume, chest, grid, outside, width)
    _abdomen_and_mediastinum(volume, chest, grid, outside, width, blood_hu)
    _spine(volume, (x, y, z), width)
    distance = chest.lung(x, y, z)
    lung = coverage(distance, width)
    paint(volume, lung, _parenchyma(chest, grid, rng))
    paint(volume, vessels.render(chest.great_vessels, grid, width) * (1 - lung), blood_hu)
    # branches leave the lung only to reach its hilum, so those within other organs are not seen
    near_lung = coverage(distance - np.float32(BRANCH_SEEN_MM), width)
    vessel_hu = MUSCLE if blood_hu < 100 else 0.8 * blood_hu
    paint(volume, vessels.render(chest.pulmonary, grid, width) * near_lung, vessel_hu)
    for airways, where in ((chest.bronchi, near_lung), (chest.trachea, np.float32(1))):
        wall = vessels.render(airways.resized(*anatomy.AIRWAY_WALL), grid, width)
        paint(volume, wall * where, AIRWAY_WALL)
        paint(volume, vessels.render(airways, grid, width) * where, AIRWAY_LUMEN)
    return volume, lung


def edge_width(grid: Grid) -> float:
    """Thickness of a partial-volume edge: about one voxel, at least 0.8 mm."""
    return max(0.8, float(np.cbrt(np.prod(grid.spacing_mm))))


def texture(grid: Grid, sigma_mm: float, deviation: float, rng: np.random.Generator) -> Field:
    """Noise (I, J, K) correlated over a Gaussian of `sigma_mm`, with the standard deviation asked for."""
    noise = rng.standard_normal(grid.shape, dtype=np.float32)
    sigma = [sigma_mm / step for step in grid.spacing_mm]
    smooth = np.asarray(ndimage.gaussian_filter(noise, sigma, truncate=3.0), dtype=np.float32)
    return np.asarray(smooth * np.float32(deviation / max(float(smooth.std()), 1e-6)), dtype=np.float32)


def _table(x: Field, y: Field, z: Field) -> Field:
    """A thin curved couch under the back."""
    surface = np.float32(118) - (x / np.float32(40)) ** 2
    return np.asarray(
        np.maximum(np.abs(y - surface) - np.float32(1.2), np.abs(x) - np.float32(190)) + np.float32(0) * z,
        dtype=np.float32,
    )


def _parenchyma(chest: Chest, grid: Grid, rng: np.random.Generator) -> Field:
    """HU of aerated lung with gravity, texture and the fissures."""
    x, y, z = grid.coordinates()
    value = np.float32(LUNG) + np.float32(GRAVITY_HU_PER_MM) * y + np.zeros(grid.shape, dtype=np.float32)
    for sigma_mm, deviation in LUNG_TEXTURE:
        value += texture(grid, sigma_mm, deviation, rng)
    fissure = coverage(anatomy.fissures(x, y, z, chest) - np.float32(0.2), edge_width(grid))
    return np.asarray(value + np.float32(FISSURE_HU) * fissure, dtype=np.float32)


def _chest_wall(volume: Field, chest: Chest, grid: Grid, outside: Field, width: float) -> None:
    """Skin, fat, muscle sheets, ribs, sternum and shoulder blades."""
    x, y, z = grid.coordinates()
    skin = anatomy.body(x, y, z, chest)
    paint(volume, coverage(skin, width), MUSCLE)
    under_skin = coverage(skin + np.float32(2.0), width)
    # muscle where deep enough or near the cage, streaked with fat by a smooth random field
    depth = np.maximum(np.float32(14) - outside, -skin - np.float32(16)) + 3 * chest.muscle_wave(x, y, z)
    fat_share = coverage(depth, 3.0) * under_skin
    paint(volume, under_skin, MUSCLE)
    paint(volume, fat_share, FAT)
    for side in (anatomy.RIGHT, anatomy.LEFT):
        back = shapes.ellipsoid(x, y, z, (side * 27.0, 90.0, 0.0), (24.0, 14.0, np.inf))
        paint(volume, coverage(np.maximum(back, skin + 6), width), MUSCLE)
    ribs = np.maximum(anatomy.rib_shell(z, y, outside), skin + np.float32(4))
    front = coverage(y + np.float32(52), 20.0)
    cortex = CORTICAL + front * np.float32(CARTILAGE - CORTICAL)
    paint(volume, coverage(ribs, width), cortex)
    paint(volume, coverage(ribs + np.float32(1.5), width) * (1 - front), SPONGY)
    _plates(volume, grid, skin, width)


def _plates(volume: Field, grid: Grid, skin: Field, width: float) -> None:
    """Sternum and scapulae."""
    x, y, z = grid.coordinates()
    sternum = np.maximum(
        shapes.ellipsoid(x, y, z, (0.0, -89.0, 0.0), (18.0, 6.5, np.inf), power=3.0), np.abs(z - 10) - 85
    )
    _bone(volume, np.maximum(sternum, skin + np.float32(3)), width, 1.3)
    for side in (anatomy.RIGHT, anatomy.LEFT):
        sheet = y - np.float32(68) + np.float32(0.62) * (side * x - np.float32(95))
        extent = shapes.ellipsoid(x, y, z, (side * 95.0, 68.0, 70.0), (42.0, 60.0, 72.0))
        blade = np.maximum(np.abs(sheet) - np.float32(3.2), extent)
        _bone(volume, np.maximum(blade, skin + np.float32(6)), width, 1.4)


def _bone(volume: Field, distance: Field, width: float, cortex_mm: float) -> None:
    paint(volume, coverage(distance, width), CORTICAL)
    paint(volume, coverage(distance + np.float32(cortex_mm), width), SPONGY)


def _spine(volume: Field, at: tuple[Field, Field, Field], width: float) -> None:
    """Vertebral bodies with discs, the canal, pedicles with transverse processes, spinous processes."""
    x, y, z = at
    column = anatomy.spine(x, y, z)
    level = z / np.float32(anatomy.VERTEBRA_MM)
    from_disc = np.abs(level - np.round(level)) * np.float32(anatomy.VERTEBRA_MM)
    arch = shapes.ellipsoid(x, y, z, (0.0, anatomy.SPINE_Y_MM + 20, 0.0), (13.0, 12.0, np.inf))
    spinous = np.maximum(shapes.ellipsoid(x, y, z, (0.0, 100.0, 0.0), (3.5, 12.0, np.inf)), 4 - from_disc)
    transverse = shapes.ellipsoid(x, y, z, (0.0, anatomy.SPINE_Y_MM + 20, 0.0), (34.0, 5.0, np.inf))
    processes = np.minimum(np.minimum(arch, np.maximum(transverse, 5 - from_disc)), spinous)
    _bone(volume, processes, width, 1.4)
    _bone(volume, column, width, 1.2)
    paint(volume, coverage(np.maximum(column + np.float32(1.5), from_disc - 2), width), DISC)
    canal = shapes.ellipsoid(x, y, z, (0.0, anatomy.SPINE_Y_MM + 21, 0.0), (8.5, 7.5, np.inf))
    paint(volume, coverage(canal, width), MARROW_CANAL)


def _abdomen_and_mediastinum(
    volume: Field, chest: Chest, grid: Grid, outside: Field, width: float, blood_hu: float
) -> None:
    """What fills the cavity besides lung: fat, organs under the domes, heart."""
    x, y, z = grid.coordinates()
    inside = coverage(outside + np.float32(1.0), width)
    streaks = np.float32(25) * chest.muscle_wave(x, y, z)
    paint(volume, inside, FAT + 70 + streaks)
    abdomen = coverage(anatomy.diaphragm(x, y, z, chest), width) * inside
    paint(volume, abdomen, MUSCLE)
    organs: tuple[tuple[Triple, Triple, float], ...] = (
        ((-52.0, 0.0, -182.0), (82.0, 88.0, 94.0), LIVER + (40 if blood_hu > 100 else 0)),
        ((88.0, 38.0, -160.0), (32.0, 40.0, 48.0), SPLEEN + (60 if blood_hu > 100 else 0)),
        ((48.0, -34.0, -150.0), (36.0, 30.0, 34.0), 30.0),
        ((46.0, -46.0, -138.0), (22.0, 13.0, 16.0), -900.0),
    )
    under = coverage(anatomy.diaphragm(x, y, z, chest) + np.float32(4), width) * inside
    paint(volume, under, FAT)
    for center, semi_axes, value in organs:
        shifted = (center[0], center[1], center[2] + chest.dome_shift_mm)
        paint(volume, coverage(shapes.ellipsoid(x, y, z, shifted, semi_axes), width) * under, value)
    muscle = anatomy.heart(x, y, z, chest)
    paint(volume, coverage(muscle, width) * (1 - under), MUSCLE + (50 if blood_hu > 100 else 0))
    paint(volume, coverage(muscle + np.float32(11) + streaks / 12, 6.0) * (1 - under), blood_hu)
