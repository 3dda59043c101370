"""select: which pipeline, and which of the candidates play its roles. Every choice and every refusal is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medimg.dicom.options import AS_SCANNED, ReadOptions
from medimg.errors import InputError, Reason, UnsuitableScanError, UsageError
from medimg.pipeline import Pipeline, PipelineInput, find_pipelines, load_pipeline
from medimg.progress import Progress, silent
from medimg.stages.candidates import SELECTION_FILE, SELECTION_SCHEMA, Candidate, find_candidates, read_document
from medimg.stages.prefer import preference
from medimg.stages.ranking import Ranking, best
from medimg.stages.selection import Left, Selection, listed, named, not_chosen_entry
from medimg.study import Volume
from medimg.volumes import check_voxels


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
    for known in filter(lambda pipeline: pipeline.automatic, find_pipelines()):
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


def read_chosen(selection: Selection, options: ReadOptions = AS_SCANNED) -> tuple[Selection, dict[str, Volume]]:
    """Read the chosen candidates: role -> Volume, in the pipeline's channel order; and the selection as it was read.

    A scan that turns out to be no sound volume gives way to the next best by the pipeline's rule, with a warning.
    """
    while True:
        try:
            return selection, {role: _one_volume(candidate, options) for role, candidate in selection.chosen.items()}
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
        names = listed([named(candidate) for candidate in right])
        raise UnsuitableScanError(
            Reason.AMBIGUOUS_SERIES,
            f"scans of several studies, or of unknown ones ({names}); name one file, one study's folder, "
            "or one series with --series-uid",
        )
    others = [not_chosen_entry(c, _why_not(c)) for c in candidates if c not in right]
    rule = preference(str(pipeline.options("select").get("prefer", "only")))
    return best(Ranking(pipeline, rule, tuple(sorted(right, key=rule.key)), others + left))


def _asked_for(candidates: Sequence[Candidate], series_uids: Sequence[str]) -> tuple[list[Candidate], Left]:
    """The candidates of those series and the files that belong to none; the others as entries of `not_chosen`."""
    if not series_uids:
        return list(candidates), []
    there = {candidate.series_uid for candidate in candidates}
    if absent := sorted(set(series_uids) - there):
        names = listed([f"{c.series_uid} ({c.description or 'no description'})" for c in candidates if c.series_uid])
        raise UsageError(f"no series {', '.join(absent)}; there are {names or 'none'}")
    kept = [c for c in candidates if c.series_uid is None or c.series_uid in series_uids]
    return kept, [not_chosen_entry(c, "another series UID was asked for") for c in candidates if c not in kept]


def _match_roles(pipeline: Pipeline, candidates: Sequence[Candidate], left: Left) -> Selection:
    """Exactly one candidate a role, told by name, description or --volume role=PATH."""
    modalities = pipeline.modalities
    right = [c for c in candidates if c.refusal is None and (c.modality is None or c.modality in modalities)]
    if not right:
        raise UnsuitableScanError(Reason.WRONG_MODALITY, _no_modality("/".join(sorted(modalities)), candidates))
    by_role: dict[str, list[Candidate]] = {role: [c for c in right if c.role == role] for role in pipeline.roles}
    absent = [role for role, found in by_role.items() if not found]
    if missing := [entry.role for entry in pipeline.inputs if entry.role in absent and not entry.optional]:
        found = listed([f"{named(c)} ({c.refusal or c.role or 'role unknown'})" for c in candidates])
        raise UnsuitableScanError(
            Reason.MISSING_ROLE,
            f"{pipeline.name} needs {_needed(pipeline)}; missing {', '.join(missing)}. Found {found}. "
            "Name each with --volume ROLE=PATH",
        )
    for role, found_for_role in by_role.items():
        if len(found_for_role) > 1:
            names = "; ".join(named(candidate) for candidate in found_for_role)
            raise UnsuitableScanError(
                Reason.AMBIGUOUS_SERIES, f"several scans could be {role} ({names}); name one with --volume {role}=PATH"
            )
    chosen = {role: found[0] for role, found in by_role.items() if found}
    others = [not_chosen_entry(c, _why_not(c, "no role here")) for c in candidates if c not in chosen.values()]
    why = "roles told by file name, series description or the command"
    return Selection(pipeline, chosen, others + left, why + (f"; without {', '.join(absent)}" if absent else ""))


def _needed(pipeline: Pipeline) -> str:
    """ "t2f, and can use t1c": the roles a pipeline asks for."""
    needed, useful = (
        ", ".join(entry.role for entry in pipeline.inputs if entry.optional is optional) for optional in (False, True)
    )
    return f"{needed}, and can use {useful}" if useful else needed


def _fits(candidate: Candidate, wanted: PipelineInput) -> bool:
    """Of the modality wanted; where that is unknown, a role the user gave decides."""
    known = candidate.modality == wanted.modality
    return candidate.refusal is None and (known or (candidate.modality is None and candidate.role == wanted.role))


def _why_not(candidate: Candidate, otherwise: str | None = None) -> str:
    if candidate.refusal is not None:
        return str(candidate.refusal)
    return otherwise or f"modality {candidate.modality or 'unknown'}"


def _one_volume(candidate: Candidate, options: ReadOptions) -> Volume:
    """The candidate's volume; a series that splits gives its largest, and must have one that is."""
    volumes = sorted(candidate.read(options), key=lambda volume: -volume.array.size)
    if not volumes:
        raise InputError(Reason.EMPTY_VOLUME, f"{named(candidate)} holds no volume")
    if len(volumes) > 1 and volumes[1].array.size == volumes[0].array.size:
        raise UnsuitableScanError(
            Reason.AMBIGUOUS_SERIES,
            f"{named(candidate)} holds {len(volumes)} volumes (echoes, phases or orientations); "
            "run medimg preprocess and name one of its volumes",
        )
    check_voxels(volumes[0])
    return volumes[0]


def _no_modality(wanted: str, candidates: Sequence[Candidate]) -> str:
    found = listed([f"{named(c)} ({c.refusal or c.modality or 'modality unknown; no air in HU'})" for c in candidates])
    return f"needs {wanted}; found {found}"
