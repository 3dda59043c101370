"""The conformance catalogue: every case a DICOM reader meets, with the truth known at every point in mm.

`CASES` is what the tests run through medimg, and what `make compare-readers` runs through other readers.
"""

from __future__ import annotations

from conformance.cases import enhanced, geometry, hostile, kinds, layout, mosaic, objects, pixels, repeats, text
from conformance.cases.case import Case, Expected, Truth

THEMES = (layout, geometry, repeats, kinds, enhanced, mosaic, objects, pixels, text, hostile)

CASES: tuple[Case, ...] = tuple(case for theme in THEMES for case in theme.cases.all)

__all__ = ["CASES", "Case", "Expected", "Truth"]
