"""select: which pipeline, and which of the candidates play its roles. Every choice and every refusal is recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medimg import files
from medimg.dicom.series import outline_series
from medimg.errors import InputError, Reason, UnsuitableScanError, UsageError
from medimg.pipeline import Pipeline, PipelineInput, find_pipelines, load_pipeline
from medimg.progress import Progress, silent
from medimg.stages.candidates import SELECTION_FILE, SELECTION_SCHEMA, Candidate, find_candidates, read_document
from medimg.stages.prefer import Preference, preference
from medimg.study import Volume
from medimg.volumes import check_voxels

NAMED = 5
"""Scans a message names before it counts the rest."""


Left = list[dict[str, Any]]
"""Entries of `not_chosen`."""


@dataclass(frozen=True)
class Selection:
    """The pipeline, the candidate chosen for each role, and why the others were not.

    instead: makes the choice again without the chosen scan, given the error that it was refused with; raises that
    error when there is nothing to take in its place.
    """

    pipeline: Pipeline
    chosen: dict[str, Candidate]
    not_chosen: list[dict[str, Any]] = field(default_factory=list)
    why: str = ""
    instead: Callable[[InputError], Selection] | None = None

    def to_dict(self) -> dict[str, Any]:
        """For provenance and selection.json."""
        return {
            "why": self.why,
            "chosen": [{"role": role, **candidate.summary()} for role, candidate in self.chosen.items()],
            "not_chosen": self.not_chosen,
        }


def select(
    inputs: Sequence[tuple[str | None, Path]],
    pipeline: Pipeline | None = None,
    progress: Progress = silent,
    series_uids: Sequence[str] = (),
) -> Selection:
    """Choose from the (role or None, path) inputs; of DICOM series only from `series_uids` where these are given.

    A series that its headers show to be no whole volume gives way to the next best, with a warning.
    Without a pipeline: the one an earlier selection among the inputs was made for, else the one installed pipeline
    that fits. Raises UnsuitableScanError (wrong_modality, missing_role, ambiguous_series, no_pipeline_fits),
    UsageError for a series UID that is not there.
    """
    found = [candidate for role, path in inputs for candidate in find_candidates(path, role, progress)]
    candidates, left = _asked_for(found, series_uids)
    pipeline = pipeline or _selected_for(inputs)
    if pipeline is not None:
        return _match(pipeline, candidates, left)
    reasons, fitting = [], []
    for known in find_pipelines():
        try:
            fitting.append(_match(known, candidates, left))
        except UnsuitableScanError as error:
            reasons.append(f"{known.name}: {error}")
    if not fitting:
        raise UnsuitableScanError(Reason.NO_PIPELINE_FITS, "no pipeline fits this scan. " + " | ".join(reasons))
    if len(fitting) > 1:
        names = ", ".join(selection.pipeline.name for selection in fitting)
        raise UnsuitableScanError(
            Reason.AMBIGUOUS_SERIES, f"several pipelines fit ({names}); choose one with --pipeline"
        )
    return fitting[0]


def write_selection(selection: Selection, folder: Path) -> Path:
    """Write folder/selection.json (paths relative to it), which the next stages take; return its path."""
    pipeline = {"name": selection.pipeline.name, "path": str(selection.pipeline.folder)}
    document = {"schema": SELECTION_SCHEMA, "pipeline": pipeline, **selection.to_dict()}
    for entry in [pipeline, *document["chosen"], *document["not_chosen"]]:
        if Path(entry["path"]) == folder.resolve():
            raise UsageError(f"-o {folder} is the folder of the scan itself; name another one for the selection")
        entry["path"] = files.relative(Path(entry["path"]), folder)
    target = folder / SELECTION_FILE
    files.write_json(target, document)
    return target


def read_chosen(selection: Selection) -> tuple[Selection, dict[str, Volume]]:
    """Read the chosen candidates: role -> Volume, in the pipeline's channel order; and the selection as it was read.

    A scan that turns out to be no sound volume gives way to the next best by the pipeline's rule, with a warning.
    """
    while True:
        try:
            return selection, {role: _one_volume(candidate) for role, candidate in selection.chosen.items()}
        except InputError as error:
            if selection.instead is None:
                raise
            selection = selection.instead(error)


def _selected_for(inputs: Sequence[tuple[str | None, Path]]) -> Pipeline | None:
    """The pipeline of an earlier `medimg select` among the inputs."""
    for _, path in inputs:
        if (path / SELECTION_FILE).is_file():
            recorded = read_document(path / SELECTION_FILE, SELECTION_SCHEMA).get("pipeline")
            if isinstance(recorded, dict):
                return load_pipeline(str((path / str(recorded.get("path"))).resolve()))
    return None


def _match(pipeline: Pipeline, candidates: Sequence[Candidate], left: Left) -> Selection:
    match = _match_roles if len(pipeline.inputs) > 1 else _match_single
    return match(pipeline, candidates, left)


def _match_single(pipeline: Pipeline, candidates: Sequence[Candidate], left: Left) -> Selection:
    """The best candidate of the right modality, by the pipeline's stated preference."""
    (wanted,) = pipeline.inputs
    right = [candidate for candidate in candidates if _fits(candidate, wanted)]
    if not right:
        raise UnsuitableScanError(Reason.WRONG_MODALITY, _no_modality(wanted.modality, candidates))
    studies = {candidate.study_uid for candidate in right}
    if len(studies) > 1 or (len(right) > 1 and None in studies):
        listed = _listed([_named(candidate) for candidate in right])
        raise UnsuitableScanError(
            Reason.AMBIGUOUS_SERIES,
            f"scans of several studies, or of unknown ones ({listed}); name one file or one study's folder",
        )
    others = [_not_chosen(c, _why_not(c)) for c in candidates if c not in right]
    rule = preference(str(pipeline.options("select").get("prefer", "only")))
    return _best(_Ranking(pipeline, rule, tuple(sorted(right, key=rule.key)), others + left))


@dataclass(frozen=True)
class _Ranking:
    """Candidates best first, those of them that were refused already, and what else is not chosen."""

    pipeline: Pipeline
    rule: Preference
    ranked: tuple[Candidate, ...]
    others: Left
    refused: tuple[tuple[Candidate, InputError], ...] = ()

    def without_first(self, error: InputError) -> _Ranking:
        """The ranking after its first was refused. Raises `error` when nothing may stand in for it."""
        if len(self.ranked) < 2 or self.rule.shortcomings(self.ranked[1]):
            raise self.refused[0][1] if self.refused else error
        return replace(self, ranked=self.ranked[1:], refused=(*self.refused, (self.ranked[0], error)))


def _best(ranking: _Ranking) -> Selection:
    """The first of the ranking, or what stands in for it when its headers show no whole volume."""
    rule, ranked = ranking.rule, ranking.ranked
    if len(ranked) > 1 and rule.key(ranked[0]) == rule.key(ranked[1]):
        listed = "; ".join(_named(candidate) for candidate in ranked if rule.key(candidate) == rule.key(ranked[0]))
        raise UnsuitableScanError(Reason.AMBIGUOUS_SERIES, f"several scans fit equally well ({listed}); name one")
    first = ranked[0]
    if len(ranked) > 1 and first.headers is not None:
        outline = outline_series(first.headers)
        if outline.rejection is not None and not outline.undecided:
            return _best(ranking.without_first(outline.rejection))
    (wanted,) = ranking.pipeline.inputs
    chosen = replace(first, warnings=(*first.warnings, *_warnings(ranking)))
    others = [_not_chosen(candidate, f"refused: {error}") for candidate, error in ranking.refused]
    others += [_not_chosen(candidate, rule.why_not(candidate, first)) for candidate in ranked[1:]]
    alone = len(ranked) == 1 and not ranking.refused
    why = "the only scan that fits" if alone else f"first by {rule.words}"
    return Selection(
        ranking.pipeline,
        {wanted.role: chosen},
        others + ranking.others,
        why,
        instead=lambda error: _best(ranking.without_first(error)),
    )


def _warnings(ranking: _Ranking) -> list[str]:
    """What a reader must know of the choice: better scans that were refused, and what the chosen one lacks."""
    first = ranking.ranked[0]
    told = [
        f"{_named(candidate)} comes first by the rule and was refused ({error}); {_named(first)} was taken instead: "
        f"{ranking.rule.why_not(first, candidate)}"
        for candidate, error in ranking.refused
    ]
    lacks = ranking.rule.shortcomings(first) if first.headers is not None else []
    return told + [f"{_named(first)} was the best there is, and not what the rule asks for: {lack}" for lack in lacks]


def _asked_for(candidates: Sequence[Candidate], series_uids: Sequence[str]) -> tuple[list[Candidate], Left]:
    """The candidates of those series and the files that belong to none; the others as entries of `not_chosen`."""
    if not series_uids:
        return list(candidates), []
    there = {candidate.series_uid for candidate in candidates}
    if absent := sorted(set(series_uids) - there):
        listed = _listed([f"{c.series_uid} ({c.description})" for c in candidates if c.series_uid])
        raise UsageError(f"no series {', '.join(absent)}; there are {listed or 'none'}")
    kept = [c for c in candidates if c.series_uid is None or c.series_uid in series_uids]
    return kept, [_not_chosen(c, "another series UID was asked for") for c in candidates if c not in kept]


def _match_roles(pipeline: Pipeline, candidates: Sequence[Candidate], left: Left) -> Selection:
    """Exactly one candidate a role, told by name, description or --volume role=PATH."""
    modalities = pipeline.modalities
    right = [c for c in candidates if c.refusal is None and (c.modality is None or c.modality in modalities)]
    if not right:
        raise UnsuitableScanError(Reason.WRONG_MODALITY, _no_modality("/".join(sorted(modalities)), candidates))
    by_role: dict[str, list[Candidate]] = {role: [c for c in right if c.role == role] for role in pipeline.roles}
    if missing := [role for role, found in by_role.items() if not found]:
        found = _listed([f"{_named(c)} ({c.refusal or c.role or 'role unknown'})" for c in candidates])
        raise UnsuitableScanError(
            Reason.MISSING_ROLE,
            f"{pipeline.name} needs {', '.join(pipeline.roles)}; missing {', '.join(missing)}. Found {found}. "
            "Name each with --volume ROLE=PATH",
        )
    for role, found_for_role in by_role.items():
        if len(found_for_role) > 1:
            listed = "; ".join(_named(candidate) for candidate in found_for_role)
            raise UnsuitableScanError(
                Reason.AMBIGUOUS_SERIES, f"several scans could be {role} ({listed}); name one with --volume {role}=PATH"
            )
    chosen = {role: found[0] for role, found in by_role.items()}
    others = [_not_chosen(c, _why_not(c, "no role here")) for c in candidates if c not in chosen.values()]
    return Selection(pipeline, chosen, others + left, "roles told by file name, series description or the command")


def _fits(candidate: Candidate, wanted: PipelineInput) -> bool:
    """Of the modality wanted; where that is unknown, a role the user gave decides."""
    known = candidate.modality == wanted.modality
    return candidate.refusal is None and (known or (candidate.modality is None and candidate.role == wanted.role))


def _why_not(candidate: Candidate, otherwise: str | None = None) -> str:
    if candidate.refusal is not None:
        return str(candidate.refusal)
    return otherwise or f"modality {candidate.modality or 'unknown'}"


def _one_volume(candidate: Candidate) -> Volume:
    """The candidate's volume; a series that splits gives its largest, and must have one that is."""
    volumes = sorted(candidate.read(), key=lambda volume: -volume.array.size)
    if not volumes:
        raise InputError(Reason.EMPTY_VOLUME, f"{_named(candidate)} holds no volume")
    if len(volumes) > 1 and volumes[1].array.size == volumes[0].array.size:
        raise UnsuitableScanError(
            Reason.AMBIGUOUS_SERIES,
            f"{_named(candidate)} holds {len(volumes)} volumes (echoes, phases or orientations); "
            "run medimg preprocess and name one of its volumes",
        )
    check_voxels(volumes[0])
    return volumes[0]


def _no_modality(wanted: str, candidates: Sequence[Candidate]) -> str:
    found = _listed(
        [f"{_named(c)} ({c.refusal or c.modality or 'modality unknown; no air in HU'})" for c in candidates]
    )
    return f"needs {wanted}; found {found}"


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are: an export can hold hundreds."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _not_chosen(candidate: Candidate, why: str) -> dict[str, Any]:
    return {**candidate.summary(), "why": why}


def _named(candidate: Candidate) -> str:
    return f"{candidate.path.name}: {candidate.description}" if candidate.headers else candidate.path.name
