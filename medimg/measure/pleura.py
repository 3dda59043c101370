"""The pleura beside a nodule as a quadric: first through the surface of the wall's cubes, then by their densities.

A surface taken cube by cube is wrong by a tenth of a millimetre, which is 5 % of a 6 mm nodule half sunk in it. So the
densities about it are fitted too, with the edge that a scan makes of a wall: an error function across the quadric.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

MIN_POINTS = 40
"""Surface points a quadric (six coefficients) is fitted to; with fewer the wall is taken as it is."""

TRIMMED = 2.5
"""Points further from the fit than this many median deviations are vessels, fissures or ribs."""

FITS = 4
"""Rounds of fitting and trimming; it settles in two or three."""

EDGE_REACH_MM = 2.0
"""Cubes so near to the first surface show the edge, and little else."""

SOFTEST_MM = 1.5
"""Standard deviation of the softest edge; from there on it is no edge."""

FARTHEST_MM = 1.0
"""The densities move the pleura at the nodule by less; by more they were not the edge's."""

MOST_CUBES = 3000
"""So many, evenly taken, say where the pleura is to a hundredth of a millimetre; more cost time alone."""

EVALUATIONS = 10
"""At most; it settles in five or six."""


def surface(across: Points, height: Points) -> Points:
    """Coefficients of the quadric through `height` (N,) over `across` (N, 2), outliers trimmed: `quadric`'s six."""
    kept = np.ones(len(height), dtype=bool)
    coefficients: Points = np.zeros(6)
    for _ in range(FITS):
        coefficients = np.linalg.lstsq(_terms(across[kept]), height[kept], rcond=None)[0].astype(np.float64)
        off = np.abs(_terms(across) @ coefficients - height)
        kept = off <= TRIMMED * max(float(np.median(off[kept])), 0.2)
        if np.count_nonzero(kept) < MIN_POINTS:
            break
    return np.asarray(coefficients)


def refined(coefficients: Points, across: Points, height: Points, hu: Points, threshold: float) -> Points:
    """The quadric at which the edge between wall and lung that fits `hu` (N,) best passes `threshold`.

    across, height: of the cubes about the first surface, as in `surface`. The first again where no edge fits.
    """
    from scipy.optimize import least_squares
    from scipy.special import erf, erfinv

    terms = _terms(across)
    near = np.flatnonzero(np.abs(height - terms @ coefficients) <= EDGE_REACH_MM)
    near = near[:: len(near) // MOST_CUBES + 1]
    terms, height, hu = terms[near], height[near], hu[near]
    if len(hu) < 2 * MIN_POINTS:
        return coefficients

    def edge(values: Points) -> tuple[Points, Points]:
        width = (height - terms @ values[:6]) / (np.sqrt(2) * values[6])
        return width, (1 - erf(width)) / 2

    def off(values: Points) -> Points:
        return np.asarray(values[8] + (values[7] - values[8]) * edge(values)[1] - hu)

    def slopes(values: Points) -> Points:
        width, share = edge(values)
        bell = (values[7] - values[8]) * np.exp(-(width**2)) / np.sqrt(np.pi)
        return np.column_stack([
            bell[:, None] * terms / (np.sqrt(2) * values[6]),
            bell * width / values[6],
            share,
            1 - share,
        ])  # fmt: skip

    wall, lung = (float(v) for v in np.quantile(hu, (0.9, 0.1)))
    start = np.array([*coefficients, 0.7, wall, lung])
    typical = float(np.median(np.abs(off(start))))
    low, high = np.full(9, -np.inf), np.full(9, np.inf)
    low[6], high[6] = 0.2, SOFTEST_MM
    fit = least_squares(
        off, start, slopes, bounds=(low, high), loss="soft_l1", f_scale=max(2 * typical, 1.0),
        x_scale=[1.0] * 6 + [0.2, 100.0, 100.0], max_nfev=EVALUATIONS,
    )  # fmt: skip
    wall, lung = float(fit.x[7]), float(fit.x[8])
    if not lung < threshold < wall or fit.x[6] >= SOFTEST_MM:
        return coefficients
    moved = np.array(fit.x[:6])
    moved[0] += np.sqrt(2) * fit.x[6] * erfinv(1 - 2 * (threshold - lung) / (wall - lung))
    return moved if abs(moved[0] - coefficients[0]) <= FARTHEST_MM else coefficients


def quadric(u: Points, v: Points, coefficients: Points) -> Points:
    """Height over the plane at (u, v), what `_terms` @ coefficients is without a table of the terms."""
    one, in_u, in_v, uu, uv, vv = coefficients
    return np.asarray(one + u * (in_u + uu * u + uv * v) + v * (in_v + vv * v))


def _terms(across: Points) -> Points:
    """(N, 6): 1, u, v, u2, uv, v2."""
    u, v = across.T
    return np.column_stack([np.ones_like(u), u, v, u * u, u * v, v * v])
