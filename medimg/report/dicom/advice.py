"""Advice and measurements of the whole scan as content items: categories as codes, probabilities as numbers, and words.

A code says one thing only: a category that is a range, because something is not known, goes out as its two ends under
concepts of medimg's own, never as the assessment itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydicom.sr.coding import Code

from medimg.measure.risk.advice import BROCK, FLEISCHNER, LUNG_RADS
from medimg.report.dicom.codes import PERCENT, QUANTITIES, private, word

if TYPE_CHECKING:
    from highdicom.sr import Measurement, QualitativeEvaluation

Entry = Mapping[str, Any]
"""One entry of a report's `advice` (docs/output.md)."""

ASSESSMENT = Code("RID50134", "RADLEX", "Lung-RADS assessment")

CATEGORIES: dict[str, Code] = {
    "1": Code("RID50136", "RADLEX", "Lung-RADS 1"),
    "2": Code("RID50137", "RADLEX", "Lung-RADS 2"),
    "3": Code("RID50138", "RADLEX", "Lung-RADS 3"),
    "4A": Code("RID50139", "RADLEX", "Lung-RADS 4A"),
    "4B": Code("RID50140", "RADLEX", "Lung-RADS 4B"),
}
"""RadLex (RSNA), the children of RID50134."""

LEAST, MOST = private("lung_rads_least"), private("lung_rads_most")
"""The ends of a range of categories."""

FOLLOW_UP = Code("111053", "DCM", "Recommended Follow-up")

MINIMUM, MAXIMUM = Code("255605001", "SCT", "Minimum"), Code("56851009", "SCT", "Maximum")
"""CID 3627 (measurement types): the ends of a probability."""


def of_finding(advice: Sequence[Entry], finding_id: str | None) -> list[Entry]:
    """The entries about that finding, or (None) about the scan."""
    return [entry for entry in advice if entry.get("finding_id") == finding_id]


def assessments(entries: Sequence[Entry]) -> list[QualitativeEvaluation]:
    """Lung-RADS and Fleischner: what the rule says, as codes."""
    from highdicom.sr import QualitativeEvaluation

    return [QualitativeEvaluation(concept, value) for entry in entries for concept, value in _coded(entry)]


def probabilities(entries: Sequence[Entry]) -> list[Measurement]:
    """The Brock model's probability of cancer, or the two ends of its range; the method says which model."""
    from highdicom.sr import Measurement

    concept, items = QUANTITIES["cancer_probability"].concept, []
    for number, entry in enumerate((entry for entry in entries if entry.get("rule") == BROCK), start=1):
        method = private(_model(str(entry.get("text", "")), number))
        ends = [float(value) for value in re.findall(r"\d+(?:\.\d+)?", str(entry.get("category", "")))]
        kinds = [None] if len(ends) == 1 else [MINIMUM, MAXIMUM]
        items += [
            Measurement(concept, value, PERCENT, derivation=kind, method=method)
            for value, kind in zip(ends[:2], kinds, strict=False)
        ]
    return items


def words(entry: Entry) -> str:
    """All that an entry says, in one text: a Code Meaning holds 64 characters, which is no advice."""
    about = entry.get("finding_id") or "scan"
    missing = entry.get("missing") or ()
    unknown = f" Not known: {', '.join(map(str, missing))}." if missing else ""
    return (
        f"{entry.get('rule')}, {about}: {entry.get('category')}. {entry.get('text')}.{unknown} ({entry.get('source')})"
    )


def _coded(entry: Entry) -> Iterator[tuple[Code, Code]]:
    rule, category = entry.get("rule"), str(entry.get("category", ""))
    if rule == FLEISCHNER:
        yield FOLLOW_UP, word(category)
    elif rule == LUNG_RADS:
        low, _, high = category.partition(" to ")
        if high in CATEGORIES and low in CATEGORIES:
            yield LEAST, CATEGORIES[low]
            yield MOST, CATEGORIES[high]
        else:
            yield ASSESSMENT, CATEGORIES.get(category) or word(category)


def _model(text: str, number: int) -> str:
    """Name of the model, as the text says it in brackets: 2a or 2b."""
    said = re.search(r"\((2[ab])\)", text)
    return f"brock_{said.group(1) if said else number}"
