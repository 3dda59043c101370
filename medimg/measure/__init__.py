"""Sizes of what was found: pure functions of voxels and affines, in mm and HU."""

from __future__ import annotations

from medimg.measure.lesion import lesions
from medimg.measure.nodule import NoduleMask, measure_nodule, segment_nodule

__all__ = ["NoduleMask", "lesions", "measure_nodule", "segment_nodule"]
