"""A finding's measurements as content items: numbers with concept and unit, words and yes or no as evaluations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydicom.sr.coding import Code

from medimg.report.dicom.codes import NO, YES, private, quantity, word
from medimg.results import Finding

if TYPE_CHECKING:
    from highdicom.sr import Measurement, QualitativeEvaluation

OWN_NUMBERS = ("probability", "diameter_mm", "volume_mm3")
"""What a finding says of itself beside its `measurements`."""


ENDS = "_ends_lps_mm"
"""End of the name of a line's two ends: TID 1411 has no coordinates within a measurement, they stay in report.json."""


def measurements(finding: Finding) -> list[Measurement]:
    """Every number of the finding; what could not be measured (None) is left out, never 0."""
    return _numbers(_values(finding))


def of_scan(measured: Mapping[str, Any]) -> list[Measurement]:
    """Every number of a report's own measurements, those of the whole scan."""
    return _numbers(_flat(measured))


def _numbers(values: Iterable[tuple[str, Any]]) -> list[Measurement]:
    from highdicom.sr import Measurement

    items = []
    for name, value in values:
        if not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value):
            what = quantity(name)
            items.append(Measurement(what.concept, value * what.factor, what.unit, derivation=what.derivation))
    return items


def evaluations(finding: Finding) -> list[QualitativeEvaluation]:
    """Everything the finding says in words, or with yes and no."""
    from highdicom.sr import QualitativeEvaluation

    return [
        QualitativeEvaluation(private(name), _coded(value))
        for name, value in _values(finding)
        if isinstance(value, bool) or (isinstance(value, str) and value.strip())
    ]


def _coded(value: bool | str) -> Code:
    if isinstance(value, bool):
        return YES if value else NO
    return word(value)


def _values(finding: Finding) -> Iterator[tuple[str, Any]]:
    for name in OWN_NUMBERS:
        yield name, getattr(finding, name)
    yield from _flat(finding.measurements)


def _flat(measured: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values, those of nested mappings and lists under joined names."""
    for name, value in measured.items():
        joined = f"{before}{name}"
        if joined.endswith(ENDS):
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{joined}_")
        elif isinstance(value, (list, tuple)):
            yield from _flat({str(number): each for number, each in enumerate(value, start=1)}, f"{joined}_")
        else:
            yield joined, value
