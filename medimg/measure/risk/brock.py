"""The Brock (PanCan) probability that a nodule is cancer, full models with and without spiculation.

McWilliams et al., "Probability of Cancer in Pulmonary Nodules Detected on First Screening CT", NEJM 2013;369:910-919,
Table 2, models 2a (without spiculation) and 2b (with); doi:10.1056/NEJMoa1214726. 2b was checked against Uthoff et al.,
Eur Radiol 2019;29:5367-5377, Table 2; 2a against medicalalgorithms.com ("Pulmonary Nodule Cancer").
logit = sum of coefficient * value, age less 62, number of nodules less 4, size as (mm / 10) ** -0.5 - 1.58113883.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medimg.errors import UsageError

SOURCE = "McWilliams et al., N Engl J Med 2013;369:910-919 (Brock University / PanCan)"

CENTRE_AGE, CENTRE_COUNT, CENTRE_SIZE = 62.0, 4.0, 1.58113883
"""What the model's values are centred on; the last is (4 mm / 10) ** -0.5."""

STUDIED_AGES = (50.0, 75.0)
"""Ages at which PanCan enrolled; outside them the model extrapolates."""

STUDIED_SIZE_MM = (1.0, 30.0)
"""A nodule is at most 30 mm (Fleischner glossary); the model was made of nodules."""

AGES_YEARS = (18.0, 110.0)
COUNTS = (1, 100)
SIZES_MM = (1.0, 100.0)
"""Values a missing input may have: adults, and all that a report of nodules can hold."""


@dataclass(frozen=True)
class Model:
    """Coefficients by input; `nodule_type` by its value, solid being 0."""

    name: str
    constant: float
    age: float
    female: float
    family_history: float
    emphysema: float
    size: float
    nodule_type: Mapping[str, float]
    upper_lobe: float
    count: float
    spiculation: float | None = None


WITHOUT_SPICULATION = Model(
    "full model without spiculation (2a)", -6.8071, 0.0321, 0.5635, 0.3013, 0.3462, -5.6693,
    {"solid": 0.0, "part_solid": 0.3395, "ground_glass": -0.3055}, 0.7116, -0.0803,
)  # fmt: skip

WITH_SPICULATION = Model(
    "full model with spiculation (2b)", -6.7892, 0.0287, 0.6011, 0.2961, 0.2953, -5.3854,
    {"solid": 0.0, "part_solid": 0.377, "ground_glass": -0.1276}, 0.6581, -0.0824, 0.7729,
)  # fmt: skip

MODELS = (WITH_SPICULATION, WITHOUT_SPICULATION)


@dataclass(frozen=True)
class BrockInputs:
    """None is not known. size_mm: longest axial diameter; count: (least, most) nodules in the scan."""

    age_years: float | None = None
    female: bool | None = None
    family_history: bool | None = None
    emphysema: bool | None = None
    size_mm: float | None = None
    nodule_type: str | None = None
    upper_lobe: bool | None = None
    count: tuple[int, int] | None = None
    spiculated: bool | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for values the model cannot take."""
        if self.size_mm is not None and not self.size_mm > 0:
            raise UsageError(f"Brock model: a nodule of {self.size_mm} mm is none; give its longest diameter in mm")
        if self.nodule_type is not None and self.nodule_type not in WITH_SPICULATION.nodule_type:
            raise UsageError(f"Brock model: nodule type {self.nodule_type!r}; use solid, part_solid or ground_glass")
        if self.count is not None and not 1 <= self.count[0] <= self.count[1]:
            raise UsageError(f"Brock model: {self.count} nodules; the least is 1, and no more than the most")


@dataclass(frozen=True)
class Term:
    """One input: its value (None where not known), and the lowest and highest it can add to the logit."""

    name: str
    value: Any
    low: float
    high: float


@dataclass(frozen=True)
class Brock:
    """Probability of cancer from `low` to `high`, the same where every input is known; and how it comes about."""

    model: Model
    low: float
    high: float
    terms: tuple[Term, ...]

    @property
    def missing(self) -> list[str]:
        """The inputs that are not known."""
        return [term.name for term in self.terms if term.value is None]


def brock(inputs: BrockInputs, model: Model) -> Brock:
    """The probability by `model`, or its range over every value the missing inputs can have."""
    terms = tuple(_terms(inputs, model))
    low = model.constant + sum(term.low for term in terms)
    high = model.constant + sum(term.high for term in terms)
    return Brock(model, _logistic(low), _logistic(high), terms)


def _terms(inputs: BrockInputs, model: Model) -> list[Term]:
    ages = AGES_YEARS if inputs.age_years is None else (inputs.age_years,)
    counts = inputs.count or COUNTS
    sizes = SIZES_MM if inputs.size_mm is None else (inputs.size_mm,)
    kinds = tuple(model.nodule_type) if inputs.nodule_type is None else (inputs.nodule_type,)
    terms = [
        _term("age_years", inputs.age_years, [model.age * (age - CENTRE_AGE) for age in ages]),
        _yes_no("female", inputs.female, model.female),
        _yes_no("family_history", inputs.family_history, model.family_history),
        _yes_no("emphysema", inputs.emphysema, model.emphysema),
        _term("size_mm", inputs.size_mm, [model.size * (_transformed(size) - CENTRE_SIZE) for size in sizes]),
        _term("nodule_type", inputs.nodule_type, [model.nodule_type[kind] for kind in kinds]),
        _yes_no("upper_lobe", inputs.upper_lobe, model.upper_lobe),
        _term("nodule_count", _count(inputs.count), [model.count * (count - CENTRE_COUNT) for count in counts]),
    ]
    if model.spiculation is not None:
        terms.append(_yes_no("spiculated", inputs.spiculated, model.spiculation))
    return terms


def _term(name: str, value: Any, parts: list[float]) -> Term:
    return Term(name, value, min(parts), max(parts))


def _yes_no(name: str, value: bool | None, coefficient: float) -> Term:
    flags = (False, True) if value is None else (value,)
    return _term(name, value, [coefficient * flag for flag in flags])


def _count(count: tuple[int, int] | None) -> int | list[int] | None:
    if count is None:
        return None
    return count[0] if count[0] == count[1] else list(count)


def _transformed(size_mm: float) -> float:
    return float((size_mm / 10.0) ** -0.5)


def _logistic(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit))
