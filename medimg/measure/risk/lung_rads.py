"""ACR Lung-RADS v2022: the category of a nodule in a lung cancer screening CT, and the row of the table that gives it.

American College of Radiology, "Lung-RADS v2022" (November 2022); Christensen et al., CHEST 2024;165:738-753,
doi:10.1016/j.chest.2023.10.028; the rows as RSNA/ACR RadElement set RDES267 lists them. Mean diameter in mm, to one
decimal. Category 0, and the modifiers S and X, are a reader's.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from medimg.measure.risk.facts import NODULE_TYPES, STATUSES, NoduleFacts, completions

SOURCE = "ACR Lung-RADS v2022; Christensen et al., CHEST 2024;165:738-753"

Category = Literal["1", "2", "3", "4A", "4B"]
CATEGORIES: tuple[Category, ...] = get_args(Category)
"""From the least to the most suspicious."""

SIZES_MM = (3.0, 5.0, 7.0, 12.0, 20.0, 40.0)
SOLID_SIZES_MM = (3.0, 5.0, 7.0, 12.0)
"""One diameter between every two thresholds of the table: what an unknown one can be."""

MANAGEMENT: dict[Category, str] = {
    "1": "12-month screening LDCT",
    "2": "12-month screening LDCT",
    "3": "6-month LDCT",
    "4A": "3-month LDCT; PET/CT may be considered if there is a solid nodule or solid component of 8 mm or more",
    "4B": "referral for further clinical evaluation: diagnostic chest CT, PET/CT if there is a solid nodule or solid "
    "component of 8 mm or more, tissue sampling",
}

STEP_DOWN_MONTHS: dict[str, float] = {"3": 6.0, "4A": 3.0}
"""A nodule of this category that is stable or smaller in the follow-up CT after so long goes one category down."""

STEP_DOWN_TO: dict[str, Category] = {"3": "2", "4A": "3"}

MONTH_TOLERANCE = 0.5
"""Follow-up CTs are made within about two weeks of their day."""


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    category: Category
    words: str


@dataclass(frozen=True)
class Rule:
    """A row and when it applies, for one type of nodule."""

    row: Row
    applies: Callable[[NoduleFacts], bool]


def _size(facts: NoduleFacts) -> float:
    return round(facts.mean_diameter_mm or 0.0, 1)


def _solid_part(facts: NoduleFacts) -> float:
    return round(facts.solid_mean_diameter_mm or 0.0, 1)


def _first(facts: NoduleFacts) -> bool:
    return facts.status == "baseline"


def _by_size(facts: NoduleFacts) -> bool:
    return facts.status in ("baseline", "growing")


def _rule(category: Category, words: str, applies: Callable[[NoduleFacts], bool]) -> Rule:
    return Rule(Row(category, words), applies)


BENIGN = _rule(
    "1", "nodule with benign features: complete, central, popcorn or ring calcification, or fat",
    lambda f: bool(f.benign_pattern),
)  # fmt: skip

SLOWLY_GROWING = _rule(
    "4B", "slowly growing solid or part-solid nodule: growth over several screening CTs",
    lambda f: f.status == "slowly_growing",
)  # fmt: skip

SOLID = (
    _rule("2", "juxtapleural nodule <10 mm at baseline or new: solid, smooth, oval, lentiform or triangular",
          lambda f: bool(f.touches_pleura and f.smooth_shape) and _size(f) < 10 and f.status in ("baseline", "new")),
    SLOWLY_GROWING,
    _rule("2", "solid nodule <6 mm at baseline", lambda f: _first(f) and _size(f) < 6),
    _rule("3", "solid nodule >=6 to <8 mm at baseline", lambda f: _first(f) and _size(f) < 8),
    _rule("4A", "solid nodule >=8 to <15 mm at baseline", lambda f: _first(f) and _size(f) < 15),
    _rule("4B", "solid nodule >=15 mm at baseline", _first),
    _rule("2", "new solid nodule <4 mm", lambda f: f.status == "new" and _size(f) < 4),
    _rule("3", "new solid nodule 4 to <6 mm", lambda f: f.status == "new" and _size(f) < 6),
    _rule("4A", "new solid nodule 6 to <8 mm", lambda f: f.status == "new" and _size(f) < 8),
    _rule("4A", "growing solid nodule <8 mm", lambda f: f.status == "growing" and _size(f) < 8),
    _rule("4B", "new or growing solid nodule >=8 mm", lambda f: f.status in ("new", "growing")),
)  # fmt: skip

PART_SOLID = (
    SLOWLY_GROWING,
    _rule("4A", "part-solid nodule with a growing solid component <4 mm",
          lambda f: f.status == "growing" and bool(f.solid_growing) and _solid_part(f) < 4),
    _rule("4B", "part-solid nodule with a growing solid component >=4 mm",
          lambda f: f.status == "growing" and bool(f.solid_growing)),
    _rule("3", "new part-solid nodule <6 mm total mean diameter", lambda f: f.status == "new" and _size(f) < 6),
    _rule("4A", "new part-solid nodule >=6 mm with a solid component <4 mm",
          lambda f: f.status == "new" and _solid_part(f) < 4),
    _rule("4B", "new part-solid nodule >=6 mm with a solid component >=4 mm", lambda f: f.status == "new"),
    # baseline; and a nodule that grows, but not its solid component, is classified by the size it reached
    _rule("2", "part-solid nodule <6 mm total mean diameter", lambda f: _by_size(f) and _size(f) < 6),
    _rule("3", "part-solid nodule >=6 mm with a solid component <6 mm", lambda f: _by_size(f) and _solid_part(f) < 6),
    _rule("4A", "part-solid nodule >=6 mm with a solid component >=6 to <8 mm",
          lambda f: _by_size(f) and _solid_part(f) < 8),
    _rule("4B", "part-solid nodule with a solid component >=8 mm", _by_size),
)  # fmt: skip

GROUND_GLASS = (
    _rule("2", "ground-glass nodule <30 mm at baseline, new or growing",
          lambda f: f.status != "stable" and _size(f) < 30),
    _rule("2", "ground-glass nodule >=30 mm, stable or slowly growing",
          lambda f: f.status in ("stable", "slowly_growing") and _size(f) >= 30),
    _rule("2", "ground-glass nodule <30 mm, stable", lambda f: f.status == "stable"),
    _rule("3", "ground-glass nodule >=30 mm at baseline, new or growing to it", lambda _: True),
)  # fmt: skip

TABLE: dict[str, tuple[Rule, ...]] = {
    "solid": (BENIGN, *SOLID),
    "part_solid": (BENIGN, *PART_SOLID),
    "ground_glass": (BENIGN, *GROUND_GLASS),
}

NO_NODULE = Row("1", "no lung nodule")

AIRWAY_AND_CYST: dict[str, Row] = {
    "airway nodule, subsegmental, at baseline, new or stable": Row("2", "airway nodule, subsegmental"),
    "airway nodule, segmental or more proximal, at baseline or new": Row("4A", "airway nodule, segmental or proximal"),
    "airway nodule, segmental or more proximal, stable or growing": Row("4B", "airway nodule, stable or growing"),
    "growing cystic component of a thick-walled cyst": Row("3", "growing cystic component of a thick-walled cyst"),
    "thick-walled or multilocular cyst at baseline": Row("4A", "thick-walled or multilocular cyst"),
    "thin- or thick-walled cyst that becomes multilocular": Row("4A", "cyst that becomes multilocular"),
    "thick-walled cyst with growing wall or nodularity": Row("4B", "thick-walled cyst with growing wall"),
    "growing multilocular cyst, or one with more loculation or opacity": Row("4B", "growing multilocular cyst"),
}
"""What medimg does not tell from other nodules: the reader's finding -> its row."""


def row_of(facts: NoduleFacts) -> Row:
    """The first row of the table that applies to a nodule of which type, status and sizes are known.

    A stable nodule keeps the category it had, or goes one down once it was followed up for long enough. Raises
    ValueError when type or status is None, and for a stable nodule without its `prior_category`.
    """
    if facts.nodule_type is None or facts.status is None:
        raise ValueError("row_of needs a nodule type and a status")
    if facts.status == "stable" and facts.nodule_type != "ground_glass" and not facts.benign_pattern:
        return _stable(facts)
    return next(rule.row for rule in TABLE[facts.nodule_type] if rule.applies(facts))


def _stable(facts: NoduleFacts) -> Row:
    before = next((category for category in CATEGORIES if category == facts.prior_category), None)
    if before is None:
        raise ValueError("row_of needs the category a stable nodule had")
    wait = STEP_DOWN_MONTHS.get(before)
    if wait is not None and (facts.months_since_prior or 0.0) >= wait - MONTH_TOLERANCE:
        return Row(STEP_DOWN_TO[before], f"category {before} nodule, stable or smaller after {wait:g} months or more")
    return Row(before, f"category {before} nodule, stable")


@dataclass(frozen=True)
class LungRads:
    """rows: status -> the rows possible with it, the least suspicious first. missing: unknown facts that matter."""

    rows: dict[str, tuple[Row, ...]]
    missing: tuple[str, ...]

    @property
    def low(self) -> Category:
        """The least suspicious category that is possible."""
        return self._sorted()[0]

    @property
    def high(self) -> Category:
        """The most suspicious category that is possible."""
        return self._sorted()[-1]

    def _sorted(self) -> list[Category]:
        return sorted({row.category for rows in self.rows.values() for row in rows}, key=CATEGORIES.index)


def worst(categories: Sequence[Category]) -> Category:
    """The most suspicious of one or more categories."""
    return max(categories, key=CATEGORIES.index)


POSSIBLE: dict[str, tuple[object, ...]] = {
    "nodule_type": NODULE_TYPES,
    "status": STATUSES,
    "mean_diameter_mm": SIZES_MM,
    "benign_pattern": (False, True),
    "solid_mean_diameter_mm": SOLID_SIZES_MM,
    "solid_growing": (False, True),
    "touches_pleura": (False, True),
    "smooth_shape": (False, True),
    "months_since_prior": (1.0, 12.0),
    "prior_category": ("2", "3", "4A", "4B"),
}
"""Fact -> the values that an unknown one can have: one for each way the table treats it."""

EVERY_TYPE = ("nodule_type", "status", "mean_diameter_mm", "benign_pattern")
ASKED: dict[str, tuple[str, ...]] = {
    "solid": ("touches_pleura", "smooth_shape"),
    "part_solid": ("solid_mean_diameter_mm", "solid_growing"),
    "ground_glass": (),
}
"""What the rows of a type ask beyond EVERY_TYPE."""

ASKED_OF_STABLE = ("months_since_prior", "prior_category")


@functools.lru_cache(maxsize=1024)
def lung_rads(facts: NoduleFacts) -> LungRads:
    """The rows that are possible for a nodule, over every value of what is not known."""
    cases = list(_cases(facts))
    found: dict[str, dict[Row, None]] = {}
    for case, row in cases:
        found.setdefault(str(case.status), {})[row] = None
    rows = {str(status): tuple(sorted(found[status], key=_rank)) for status in STATUSES if status in found}
    return LungRads(rows, tuple(name for name in POSSIBLE if _matters(facts, name, cases)))


def _cases(facts: NoduleFacts) -> Iterator[tuple[NoduleFacts, Row]]:
    """Every nodule that the facts can stand for, with its row."""
    types = NODULE_TYPES if facts.nodule_type is None else (facts.nodule_type,)
    statuses = STATUSES if facts.status is None else (facts.status,)
    for nodule_type, status in itertools.product(types, statuses):
        asked = (*EVERY_TYPE, *ASKED[nodule_type], *(ASKED_OF_STABLE if status == "stable" else ()))
        known = replace(facts, nodule_type=nodule_type, status=status)
        for case in completions(known, {name: POSSIBLE[name] for name in asked}):
            inner, outer = case.solid_mean_diameter_mm, case.mean_diameter_mm
            # a solid component is no larger than its nodule
            if nodule_type != "part_solid" or inner is None or outer is None or inner <= outer:
                yield case, row_of(case)


def _matters(facts: NoduleFacts, name: str, cases: Sequence[tuple[NoduleFacts, Row]]) -> bool:
    """Whether knowing the fact could rule out a category."""
    if getattr(facts, name) is not None:
        return False
    by_value: dict[object, set[Category]] = {}
    for case, row in cases:
        by_value.setdefault(getattr(case, name), set()).add(row.category)
    return any(categories != {row.category for _, row in cases} for categories in by_value.values())


def _rank(row: Row) -> int:
    return CATEGORIES.index(row.category)
