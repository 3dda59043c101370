"""Which scans become cases of which pipelines. The rules are those of docs/batch.md.

A pipeline of one scan takes every series of its modality that its own rule of choice would accept (a whole axial
stack of original images, for lung_nodule), not only the best of a study. A pipeline of several contrasts takes one
scan a role from each study, or from each folder of files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medimg.batch.catalogue import FILE, facts_from, whole_facts
from medimg.batch.rows import CaseRow, Input, Scan
from medimg.errors import InputError
from medimg.pipeline import Pipeline
from medimg.stages.names import name_of_case
from medimg.stages.prefer import preference


@dataclass
class Routed:
    """What became of the scans of one study or folder."""

    cases: list[CaseRow] = field(default_factory=list)
    unwanted: list[tuple[str, str, str, str, str]] = field(default_factory=list)


def route(scans: Sequence[Scan], pipelines: Sequence[Pipeline]) -> Routed:
    """The cases that the scans of one group give, and the scans that no pipeline takes with the reasons of each."""
    routed = Routed()
    scans = [_known(scan) for scan in scans]
    whys: dict[str, list[str]] = {scan.key: [] for scan in scans}
    for pipeline in pipelines:
        rule = _by_role if len(pipeline.inputs) > 1 else _one_each
        for case, taken in rule(pipeline, scans, whys):
            routed.cases.append(case)
            for key in taken:
                whys.pop(key, None)
    for scan in scans:
        if scan.key in whys:
            why = " | ".join(dict.fromkeys(whys[scan.key])) or "no pipeline wants it"
            routed.unwanted.append((scan.key, scan.modality, scan.description, scan.folder, why))
    return routed


def _known(scan: Scan) -> Scan:
    try:
        return whole_facts(scan)
    except InputError as error:
        return Scan(**{**vars(scan), "facts": {"refusal": str(error)}})


def _one_each(
    pipeline: Pipeline, scans: Sequence[Scan], whys: dict[str, list[str]]
) -> Iterator[tuple[CaseRow, list[str]]]:
    (wanted,) = pipeline.inputs
    rule = preference(str(pipeline.options("select").get("prefer", "only")))
    for scan in scans:
        why = _why_not(scan, wanted.modality)
        if why is None:
            why = "; ".join(rule.lacks(facts_from(scan.facts))) or None
        if why is None:
            yield _case(pipeline, {wanted.role: scan}, scan.description or scan.modality, scan.key), [scan.key]
        else:
            whys.get(scan.key, []).append(f"{pipeline.name}: {why}")


def _why_not(scan: Scan, modality: str) -> str | None:
    """Why the scan cannot be of the modality; a file that does not say is decided by its voxels, when it is read."""
    if refusal := scan.facts.get("refusal"):
        return str(refusal)
    undecided = scan.kind == FILE and not scan.modality and scan.role is None
    return None if scan.modality == modality or undecided else f"modality {scan.modality or 'unknown'}"


def _by_role(
    pipeline: Pipeline, scans: Sequence[Scan], whys: dict[str, list[str]]
) -> Iterator[tuple[CaseRow, list[str]]]:
    usable = [s for s in scans if not s.facts.get("refusal") and s.modality in {"", *pipeline.modalities}]
    by_role = {role: [scan for scan in usable if scan.role == role] for role in pipeline.roles}
    missing = [entry.role for entry in pipeline.inputs if not entry.optional and not by_role[entry.role]]
    several = [role for role, found in by_role.items() if len(found) > 1]
    if missing or several:
        why = f"without {', '.join(missing)}" if missing else f"several scans could be {', '.join(several)}"
        for scan in usable:
            whys.get(scan.key, []).append(f"{pipeline.name}: {why}")
        return
    chosen = {role: found[0] for role, found in by_role.items() if found}
    first = next(iter(chosen.values()))
    text = Path(first.folder).name if first.kind == FILE else first.description or first.modality
    key = first.study_uid or first.folder
    yield _case(pipeline, chosen, text, key), [scan.key for scan in chosen.values()]


def _case(pipeline: Pipeline, chosen: dict[str, Scan], text: str, key: str) -> CaseRow:
    return CaseRow(
        id=name_of_case(f"{text}_{pipeline.name}", f"{key}\0{pipeline.name}"),
        pipeline=pipeline.name,
        pipeline_sha256=pipeline.sha256,
        study_uid=next(iter(chosen.values())).study_uid,
        description=text,
        inputs=tuple(Input(role, scan.kind, scan.series_uid, scan.files) for role, scan in chosen.items()),
        signature=" ".join(scan.signature for scan in chosen.values()),
    )
