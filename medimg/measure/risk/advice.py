"""The rules applied to the findings of a report: an entry a rule and finding, with what went in and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from medimg.measure.pairing import Place, pair
from medimg.measure.risk import brock, fleischner, lung_rads
from medimg.measure.risk.facts import NoduleFacts, Status, facts_of
from medimg.patient.context import PatientContext, PriorNodule
from medimg.results import Finding

SURE_PROBABILITY = 0.5
"""A finding that is more likely there than not counts as a nodule; one that is less likely may or may not be one."""

PRIOR_GATE_MM = 15.0
"""A nodule of the earlier CT, placed by hand in this scan's frame, is looked for within this distance."""

GROWTH_MM, GROWTH_DAYS = 1.5, 365.25
"""Lung-RADS v2022: growth is an increase of the mean diameter by more than 1.5 mm within 12 months."""

DAYS_PER_MONTH = GROWTH_DAYS / 12

LUNG_RADS, FLEISCHNER, BROCK = "Lung-RADS v2022", "Fleischner 2017", "Brock (PanCan)"

IF_A_NODULE = "if it is a nodule"
NOT_TOLD = "a nodule with fat, in an airway, or that is a cyst has rows of its own, which a reader must tell"

STATUS_WORDS: dict[str, str] = {
    "baseline": "first CT",
    "new": "new",
    "growing": "growing",
    "slowly_growing": "slowly growing",
    "stable": "stable or smaller",
}


@dataclass(frozen=True)
class Advice:
    """What one rule says of one finding (None: of the scan). category: its answer, a range where something is missing.

    inputs: name -> {"value", "from"} and, for Brock, what it adds to the logit. missing: what would narrow it down.
    """

    rule: str
    finding_id: str | None
    category: str
    text: str
    source: str
    inputs: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "missing": list(self.missing)}


def advise(findings: Sequence[Finding], context: PatientContext) -> list[Advice]:
    """Lung-RADS for the scan, then Lung-RADS, Fleischner and Brock for each finding of a chest CT."""
    facts = _with_status(findings, context)
    entries = [_scan_lung_rads(findings, facts, context)]
    for index, (finding, known) in enumerate(zip(findings, facts, strict=True)):
        counts = _counts(findings, index)
        entries.append(_lung_rads(finding, known, context))
        entries.append(_fleischner(finding, known, counts, context))
        entries += [_brock(finding, known, counts, context, model) for model in brock.MODELS]
    return entries


def is_sure(finding: Finding) -> bool:
    """Whether it counts as a nodule: its probability is SURE_PROBABILITY or more, or its network gives none."""
    return finding.probability is None or finding.probability >= SURE_PROBABILITY


def _counts(findings: Sequence[Finding], index: int) -> tuple[int, int]:
    """The least and most nodules there can be in the scan, when the finding at `index` is one."""
    others = sum(is_sure(finding) for number, finding in enumerate(findings) if number != index)
    return others + 1, len(findings)


def _with_status(findings: Sequence[Finding], context: PatientContext) -> list[NoduleFacts]:
    """Each finding's facts, with what the earlier CT says of it."""
    facts = [facts_of(finding) for finding in findings]
    if context.prior_ct is False:
        return [replace(known, status="baseline") for known in facts]
    if context.prior_nodules is None:
        return facts
    here = [Place(finding.center_lps_mm, finding.diameter_mm) for finding in findings]
    before = [Place(prior.center_lps_mm, prior.mean_diameter_mm) for prior in context.prior_nodules]
    matched = {found.first: context.prior_nodules[found.second] for found in pair(here, before, PRIOR_GATE_MM)}
    return [_followed(known, matched.get(index)) for index, known in enumerate(facts)]


def _followed(facts: NoduleFacts, prior: PriorNodule | None) -> NoduleFacts:
    if prior is None:
        return replace(facts, status="new")
    solid = (facts.solid_mean_diameter_mm, prior.solid_mean_diameter_mm)
    grows = None if None in solid else _grows(*solid, prior.days_before)  # type: ignore[arg-type]
    return replace(
        facts,
        status=_status(facts.mean_diameter_mm, prior),
        solid_growing=grows,
        months_since_prior=None if prior.days_before is None else round(prior.days_before / DAYS_PER_MONTH, 1),
        prior_category=prior.lung_rads,
    )


def _status(diameter_mm: float | None, prior: PriorNodule) -> Status | None:
    if diameter_mm is None:
        return None
    return "growing" if _grows(diameter_mm, prior.mean_diameter_mm, prior.days_before) else "stable"


def _grows(now_mm: float, before_mm: float, days: float | None) -> bool:
    """By more than GROWTH_MM in GROWTH_DAYS; over a longer time at that rate, over a shorter one in all."""
    years = max((days or GROWTH_DAYS) / GROWTH_DAYS, 1.0)
    return (now_mm - before_mm) / years > GROWTH_MM


def _scan_lung_rads(findings: Sequence[Finding], facts: Sequence[NoduleFacts], context: PatientContext) -> Advice:
    """The most suspicious nodule decides; findings that may be none can only raise the upper end."""
    each = [lung_rads.lung_rads(known) for known in facts]
    sure = [result.low for finding, result in zip(findings, each, strict=True) if is_sure(finding)]
    low = lung_rads.worst([lung_rads.NO_NODULE.category, *sure])
    high = lung_rads.worst([low, *(result.high for result in each)])
    unsure = sum(not is_sure(finding) for finding in findings)
    words = f"the most suspicious of {len(findings) - unsure} decides"
    words += f"; {unsure} findings below probability {SURE_PROBABILITY:g} may be more" if unsure else ""
    text = words if findings else f"{lung_rads.NO_NODULE.words} was found; that does not mean that there is none"
    missing = list(dict.fromkeys(name for result in each for name in result.missing))
    inputs = {"findings": {"value": len(findings), "from": "report"}}
    return _screened(
        Advice(
            LUNG_RADS,
            None,
            _range(low, high),
            f"{text}. {_managed(low, high)}. Category 0 and the modifiers S and X are for a reader",
            lung_rads.SOURCE,
            inputs,
            tuple(missing),
        ),
        context,
    )


def _lung_rads(finding: Finding, facts: NoduleFacts, context: PatientContext) -> Advice:
    result = lung_rads.lung_rads(facts)
    rows = "; ".join(
        f"{STATUS_WORDS[status]}: " + " or ".join(f"{row.category} ({row.words})" for row in rows)
        for status, rows in result.rows.items()
    )
    text = f"{_prefix(finding)}{rows}. {_managed(result.low, result.high)}; {NOT_TOLD}"
    inputs = {**_finding_inputs(facts, LUNG_RADS_FACTS), **_context_inputs(context, ("screening", "prior_ct"))}
    category = _range(result.low, result.high)
    advice = Advice(LUNG_RADS, finding.id, category, text, lung_rads.SOURCE, inputs, result.missing)
    return _screened(advice, context)


LUNG_RADS_FACTS = (
    "nodule_type", "mean_diameter_mm", "solid_mean_diameter_mm", "touches_pleura", "smooth_shape", "benign_pattern",
    "status", "solid_growing", "months_since_prior", "prior_category",
)  # fmt: skip


def _screened(advice: Advice, context: PatientContext) -> Advice:
    """Lung-RADS is for screening: named as missing where nobody says so, not given where it was none."""
    if context.screening is False:
        return replace(advice, category="not applicable", text="the CT was not made for screening", missing=())
    if context.screening is None:
        return replace(advice, missing=(*advice.missing, "screening"))
    return advice


def _fleischner(finding: Finding, facts: NoduleFacts, counts: tuple[int, int], context: PatientContext) -> Advice:
    multiple = True if counts[0] > 1 else False if counts[1] == 1 else None
    answer = fleischner.fleischner(facts, multiple, context)
    text = _prefix(finding) + " | or: ".join(answer.recommendations)
    factors = fleischner.risk_factors(facts, context)
    inputs = {
        **_finding_inputs(facts, ("nodule_type", "mean_diameter_mm", "upper_lobe", "spiculated")),
        **_context_inputs(context, FLEISCHNER_CONTEXT),
        "multiple": {"value": multiple, "from": f"{counts[0]} to {counts[1]} nodules of the report"},
        "risk": {"value": " or ".join(fleischner.risks(factors)), "from": "risk factors"},
    }
    if not answer.applies:
        why = f"not made for this patient: {answer.why_not}"
        return Advice(FLEISCHNER, finding.id, "not applicable", why, fleischner.SOURCE, inputs, ())
    category = answer.recommendations[0] if len(answer.recommendations) == 1 else "depends on what is missing"
    return Advice(FLEISCHNER, finding.id, category, text, fleischner.SOURCE, inputs, answer.missing)


FLEISCHNER_CONTEXT = (
    "age_years", "smoking", "pack_years", "quit_years", "family_history", "emphysema", "exposure", "screening",
    "cancer_history", "immunosuppressed",
)  # fmt: skip


def _brock(
    finding: Finding, facts: NoduleFacts, counts: tuple[int, int], context: PatientContext, model: brock.Model
) -> Advice:
    result = brock.brock(
        brock.BrockInputs(
            age_years=context.age_years,
            female=None if context.sex is None else context.sex == "female",
            family_history=context.family_history,
            emphysema=context.emphysema,
            size_mm=facts.long_axis_mm,
            nodule_type=facts.nodule_type,
            upper_lobe=facts.upper_lobe,
            count=counts,
            spiculated=facts.spiculated,
        ),
        model,
    )
    inputs = {
        term.name: {
            "value": term.value,
            "from": _origin(term.name, context) if term.value is not None else None,
            "adds_to_logit": [round(term.low, 4), round(term.high, 4)],
        }
        for term in result.terms
    }
    low, high = f"{100 * result.low:.1f}", f"{100 * result.high:.1f}"
    percent = f"{low} %" if low == high else f"{low} to {high} %"
    text = f"{_prefix(finding)}probability of cancer {percent}, {model.name}{_beyond(facts, context)}"
    return Advice(BROCK, finding.id, percent, text, brock.SOURCE, inputs, tuple(result.missing))


def _beyond(facts: NoduleFacts, context: PatientContext) -> str:
    """What lies outside the model's study, in words; "" where nothing does."""
    said = []
    for name, value, (low, high) in (
        ("age", context.age_years, brock.STUDIED_AGES),
        ("size", facts.long_axis_mm, brock.STUDIED_SIZE_MM),
    ):
        if value is not None and not low <= value <= high:
            said.append(f"{name} {value:g} lies outside the study's {low:g} to {high:g}")
    return f"; extrapolated: {', '.join(said)}" if said else ""


BROCK_CONTEXT = {
    "age_years": "age_years",
    "female": "sex",
    "family_history": "family_history",
    "emphysema": "emphysema",
}
"""Brock's name of an input -> the context's; the others come from the finding."""


def _origin(name: str, context: PatientContext) -> str:
    return context.source_of(BROCK_CONTEXT[name]) if name in BROCK_CONTEXT else "measurement"


def _finding_inputs(facts: NoduleFacts, names: Sequence[str]) -> dict[str, Any]:
    known = facts.known()
    return {name: {"value": known.get(name), "from": "measurement" if name in known else None} for name in names}


def _context_inputs(context: PatientContext, names: Sequence[str]) -> dict[str, Any]:
    known: Mapping[str, Any] = context.known()
    return {name: {"value": known.get(name), "from": context.source_of(name) or None} for name in names}


def _prefix(finding: Finding) -> str:
    return "" if is_sure(finding) else f"{IF_A_NODULE} (probability {finding.probability:.2f}): "


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _managed(low: lung_rads.Category, high: lung_rads.Category) -> str:
    first, last = lung_rads.MANAGEMENT[low], lung_rads.MANAGEMENT[high]
    return f"Management: {first}" if first == last else f"Management: {low}, {first}, up to {high}, {last}"
