"""The patient context: the values that follow-up rules ask for, each checked, each with where it came from. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from medimg.errors import UsageError

Sex = Literal["female", "male"]
Smoking = Literal["never", "former", "current"]
LungRads = Literal["1", "2", "3", "4A", "4B", "4X"]

AGE_YEARS = (0.0, 120.0)
PACK_YEARS = (0.0, 300.0)
QUIT_YEARS = (0.0, 100.0)
DIAMETER_MM = (0.0, 200.0)
DAYS_BEFORE = (1.0, 36525.0)
"""Values outside these are typing errors or other units, not patients."""

AGE_TOLERANCE_YEARS = 1.0
"""Ages of two sources may differ by this: one counts from the birth date, the other was rounded down."""


@dataclass(frozen=True)
class PriorNodule:
    """A nodule of an earlier CT, at `center_lps_mm` (x, y, z) in the frame of the scan that is searched now.

    days_before: days between that CT and this one. lung_rads: the category it was given then.
    """

    center_lps_mm: tuple[float, float, float]
    mean_diameter_mm: float
    solid_mean_diameter_mm: float | None = None
    days_before: float | None = None
    lung_rads: LungRads | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for values that cannot be."""
        if len(self.center_lps_mm) != 3 or not all(_is_number(value) for value in self.center_lps_mm):
            raise UsageError(f"prior_nodules: center_lps_mm is [x, y, z] in mm, not {self.center_lps_mm!r}")
        for name, limits in (("mean_diameter_mm", DIAMETER_MM), ("solid_mean_diameter_mm", DIAMETER_MM)):
            _check_range(f"prior_nodules: {name}", getattr(self, name), limits)
        _check_range("prior_nodules: days_before", self.days_before, DAYS_BEFORE)
        _check_choice("prior_nodules: lung_rads", self.lung_rads, get_args(LungRads))
        if self.solid_mean_diameter_mm is not None and self.solid_mean_diameter_mm > self.mean_diameter_mm:
            raise UsageError("prior_nodules: the solid component cannot be larger than the nodule")


@dataclass(frozen=True)
class PatientContext:
    """None is "not known", and never stands for "no".

    family_history: lung cancer in a first-degree relative. exposure: asbestos, uranium, radium or radon. screening:
    the CT was made to screen for lung cancer. prior_ct: there is an earlier chest CT. prior_nodules: what it showed,
    () for nothing. sources: field -> where its value came from. Raises UsageError for values that cannot be, alone
    or together.
    """

    age_years: float | None = None
    sex: Sex | None = None
    family_history: bool | None = None
    emphysema: bool | None = None
    smoking: Smoking | None = None
    pack_years: float | None = None
    quit_years: float | None = None
    exposure: bool | None = None
    cancer_history: bool | None = None
    immunosuppressed: bool | None = None
    screening: bool | None = None
    prior_ct: bool | None = None
    prior_nodules: tuple[PriorNodule, ...] | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every value."""
        _check_range("age_years", self.age_years, AGE_YEARS)
        _check_range("pack_years", self.pack_years, PACK_YEARS)
        _check_range("quit_years", self.quit_years, QUIT_YEARS)
        _check_choice("sex", self.sex, get_args(Sex))
        _check_choice("smoking", self.smoking, get_args(Smoking))
        for name in FLAGS:
            if not isinstance(getattr(self, name), (bool, type(None))):
                raise UsageError(f"patient context: {name} is true, false or null, not {getattr(self, name)!r}")
        for wrong, words in self._contradictions():
            if wrong:
                raise UsageError(f"patient context: {words}; correct one of them")

    def _contradictions(self) -> list[tuple[bool, str]]:
        quit_years, age = self.quit_years, self.age_years
        return [
            (self.smoking == "never" and bool(self.pack_years), "smoking is never, but there are pack_years"),
            (self.smoking in ("never", "current") and quit_years is not None, "quit_years belongs to smoking: former"),
            (quit_years is not None and age is not None and quit_years > age, "quit_years is more than age_years"),
            (self.prior_ct is False and bool(self.prior_nodules), "prior_ct is false, but there are prior_nodules"),
        ]

    def known(self) -> dict[str, Any]:
        """The fields that have a value, without `sources`."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "sources"}
        return {name: value for name, value in values.items() if value is not None}

    def source_of(self, name: str) -> str:
        """Where the value of a field came from; "" where nothing says."""
        return self.sources.get(name, "")

    def filled_from(self, other: PatientContext) -> tuple[PatientContext, list[str]]:
        """This context with what it lacks from `other`; a warning for each value they disagree on, its own stays."""
        missing = {name: value for name, value in other.known().items() if getattr(self, name) is None}
        differing = [name for name, value in other.known().items() if _differs(name, getattr(self, name), value)]
        sources = {**self.sources, **{name: other.source_of(name) for name in missing}}
        return replace(self, **missing, sources=sources), [
            f"patient context: {name} is {getattr(self, name)} by the {self.source_of(name) or 'patient file'}, but "
            f"{getattr(other, name)} by the {other.source_of(name)}; is it the same patient?"
            for name in differing
        ]


FLAGS = ("family_history", "emphysema", "exposure", "cancer_history", "immunosuppressed", "screening", "prior_ct")
"""Fields that are true, false or not known."""


def _differs(name: str, mine: Any, other: Any) -> bool:
    if mine is None:
        return False
    return abs(mine - other) > AGE_TOLERANCE_YEARS if name == "age_years" else bool(mine != other)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_range(name: str, value: Any, limits: tuple[float, float]) -> None:
    low, high = limits
    if value is not None and not (_is_number(value) and low <= value <= high):
        raise UsageError(f"patient context: {name} is a number from {low:g} to {high:g}, not {value!r}")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise UsageError(f"patient context: {name} is one of {', '.join(choices)} or null, not {value!r}")


NOTHING_KNOWN = PatientContext()
