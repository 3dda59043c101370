"""A rigid motion of the patient between two scans. Points are LPS mm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from medimg import geometry


@dataclass(frozen=True)
class Motion:
    """matrix: (4, 4), takes LPS mm of the prior scan to LPS mm of the current one; rotation and translation alone."""

    matrix: geometry.Affine

    def moved(self, points_lps_mm: ArrayLike) -> geometry.Points:
        """Points (..., 3) of the prior scan where they lie in the current one."""
        return geometry.to_world(self.matrix, points_lps_mm)

    def back(self) -> Motion:
        """The motion from the current scan to the prior one."""
        return Motion(np.asarray(np.linalg.inv(self.matrix), dtype=np.float64))

    @property
    def rotation_degrees(self) -> float:
        """Angle of the rotation about its axis."""
        cosine = (np.trace(self.matrix[:3, :3]) - 1.0) / 2.0
        return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))

    def distance_mm(self, other: Motion, points_lps_mm: ArrayLike) -> float:
        """The furthest that the two motions take any of the points (N, 3) apart."""
        return float(np.linalg.norm(self.moved(points_lps_mm) - other.moved(points_lps_mm), axis=-1).max())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the matrix, and what it does in words' units."""
        return {
            "prior_to_current_lps": [[round(float(value), 8) for value in row] for row in self.matrix],
            "rotation_degrees": round(self.rotation_degrees, 3),
            "translation_mm": [round(float(value), 3) for value in self.matrix[:3, 3]],
        }
