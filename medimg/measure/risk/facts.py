"""What the rules ask of a nodule, each None where it is not known; and how a finding's measurements answer it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any, Literal, TypeVar, get_args

from medimg.results import Finding

NoduleType = Literal["solid", "part_solid", "ground_glass"]

Status = Literal["baseline", "new", "growing", "slowly_growing", "stable"]
"""As Lung-RADS v2022 uses the words: "baseline" is a nodule of a first CT; "growing" is more than 1.5 mm in 12 months;
"slowly growing" grows over several CTs without that."""

NODULE_TYPES: tuple[NoduleType, ...] = get_args(NoduleType)
STATUSES: tuple[Status, ...] = get_args(Status)

TYPE_WORDS: dict[str, NoduleType] = {"solid": "solid", "part-solid": "part_solid", "ground-glass": "ground_glass"}
"""Values of the measurement `attenuation` -> the rules' words."""


@dataclass(frozen=True)
class NoduleFacts:
    """mean_diameter_mm: mean of long and short axial axis (Fleischner, Lung-RADS); long_axis_mm: Brock's size.

    solid_mean_diameter_mm: of the solid component of a part-solid nodule. touches_pleura: it lies at the pleura or a
    fissure. smooth_shape: smooth, and oval, lentiform or triangular. benign_pattern: complete, central, popcorn or
    ring calcification, or fat.
    """

    nodule_type: NoduleType | None = None
    mean_diameter_mm: float | None = None
    long_axis_mm: float | None = None
    solid_mean_diameter_mm: float | None = None
    upper_lobe: bool | None = None
    spiculated: bool | None = None
    touches_pleura: bool | None = None
    smooth_shape: bool | None = None
    benign_pattern: bool | None = None
    status: Status | None = None
    solid_growing: bool | None = None
    months_since_prior: float | None = None
    prior_category: str | None = None

    def known(self) -> dict[str, Any]:
        """The facts that have a value."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


Case = TypeVar("Case", bound=NoduleFacts)


def completions(facts: Case, possible: Mapping[str, tuple[Any, ...]]) -> Iterator[Case]:
    """Every way to fill the facts that are None from `possible` (field -> values); the facts alone where none is."""
    unknown = [name for name in possible if getattr(facts, name) is None]
    for values in product(*(possible[name] for name in unknown)):
        yield replace(facts, **dict(zip(unknown, values, strict=True)))


def facts_of(finding: Finding) -> NoduleFacts:
    """The facts that a finding's measurements give (docs/output.md names them); not status and priors.

    No lobe is measured and no threshold of spiculation claimed, so these stay unknown. The chest wall is seen and
    fissures are not: a nodule away from the wall may still lie at one. Calcium may be of a benign pattern or not.
    """
    measured = finding.measurements
    kind = TYPE_WORDS.get(str(measured.get("attenuation")))
    return NoduleFacts(
        nodule_type=kind,
        mean_diameter_mm=_number(measured.get("mean_axis_mm")),
        long_axis_mm=_number(measured.get("long_axis_mm")),
        solid_mean_diameter_mm=_number(measured.get("solid_mean_axis_mm")) if kind == "part_solid" else None,
        touches_pleura=True if measured.get("pleural_contact") is True else None,
        benign_pattern=False if measured.get("calcified") is False else None,
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
