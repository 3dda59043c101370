"""select: which pipeline, and which of the candidates play its roles. Every choice and every refusal is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medimg import files
from medimg.dicom.options import AS_SCANNED, ReadOptions
from medimg.errors import InputError, Reason, UnsuitableScanError, UsageError
from medimg.pipeline import Pipeline, PipelineInput, find_pipelines, load_pipeline
from medimg.progress import Progress, silent
from medimg.stages.candidates import SELECTION_FILE, SELECTION_SCHEMA, Candidate, find_candidates, read_document
from medimg.stages.prefer import preference
from medimg.study import Volume
from medimg.volumes import check_voxels

NAMED = 5
"""Scans a message names before it counts the rest."""


@dataclass(frozen=True)
class Selection:
    """The pipeline, the candidate chosen for each role, and why the others were not."""

    pipeline: Pipeline
    chosen: dict[str, Candidate]
    not_chosen: list[dict[str, Any]] = field(default_factory=list)
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For provenance and selection.json."""
        return {
            "why": self.why,
            "chosen": [{"role": role, **candidate.summary()} for role, candidate in self.chosen.items()],
            "not_chosen": self.not_chosen,
        }


def select(
    inputs: Sequence[tuple[str | None, Path]], pipeline: Pipeline | None = None, progress: Progress = silent
) -> Selection:
    """Choose from the (role or None, path) inputs.

    Without a pipeline: the one an earlier selection among the inputs was made for, else the one installed pipeline
    that fits. Raises UnsuitableScanError (wrong_modality, missing_role, ambiguous_series, no_pipeline_fits).
    """
    candidates = [candidate for role, path in inputs for candidate in find_candidates(path, role, progress)]
    pipeline = pipeline or _selected_for(inputs)
    if pipeline is not None:
        return _match(pipeline, candidates)
    reasons, fitting = [], []
    for known in find_pipelines():
        try:
            fitting.append(_match(known, candidates))
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


def read_chosen(selection: Selection, options: ReadOptions = AS_SCANNED) -> dict[str, Volume]:
    """Read the chosen candidates: role -> Volume, in the pipeline's channel order."""
    return {role: _one_volume(candidate, options) for role, candidate in selection.chosen.items()}


def _selected_for(inputs: Sequence[tuple[str | None, Path]]) -> Pipeline | None:
    """The pipeline of an earlier `medimg select` among the inputs."""
    for _, path in inputs:
        if (path / SELECTION_FILE).is_file():
            recorded = read_document(path / SELECTION_FILE, SELECTION_SCHEMA).get("pipeline")
            if isinstance(recorded, dict):
                return load_pipeline(str((path / str(recorded.get("path"))).resolve()))
    return None


def _match(pipeline: Pipeline, candidates: Sequence[Candidate]) -> Selection:
    match = _match_roles if len(pipeline.inputs) > 1 else _match_single
    return match(pipeline, candidates)


def _match_single(pipeline: Pipeline, candidates: Sequence[Candidate]) -> Selection:
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
    rule = preference(str(pipeline.options("select").get("prefer", "only")))
    ranked = sorted(right, key=rule.key)
    if len(ranked) > 1 and rule.key(ranked[0]) == rule.key(ranked[1]):
        listed = "; ".join(_named(candidate) for candidate in ranked if rule.key(candidate) == rule.key(ranked[0]))
        raise UnsuitableScanError(Reason.AMBIGUOUS_SERIES, f"several scans fit equally well ({listed}); name one")
    others = [_not_chosen(candidate, f"ranked below by {rule.words}") for candidate in ranked[1:]]
    others += [_not_chosen(c, _why_not(c)) for c in candidates if c not in right]
    why = "the only scan that fits" if len(ranked) == 1 else f"first by {rule.words}"
    return Selection(pipeline, {wanted.role: ranked[0]}, others, why)


def _match_roles(pipeline: Pipeline, candidates: Sequence[Candidate]) -> Selection:
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
    return Selection(pipeline, chosen, others, "roles told by file name, series description or the command")


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
