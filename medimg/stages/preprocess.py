"""The preprocess stage: a DICOM folder becomes NIfTI volumes with sidecars, and a manifest that leaves nothing out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medimg import files
from medimg.dicom.discover import SeriesHeaders
from medimg.dicom.options import AS_SCANNED, ReadOptions
from medimg.dicom.series import outline_series, read_series
from medimg.dicom.verdict import SeriesResult
from medimg.errors import InputError, Reason, UnstorableError, UsageError
from medimg.progress import Progress, silent
from medimg.stages.candidates import MANIFEST_FILE, SELECTION_FILE, Candidate, find_candidates
from medimg.stages.choose import EVERYTHING, Choice
from medimg.stages.earlier import earlier_results, remove_earlier
from medimg.stages.identify import role_of_file
from medimg.stages.manifest import Manifest, entry_of, left_out
from medimg.stages.names import name_of_file, name_of_series
from medimg.stages.roles import role_of_name
from medimg.stages.save import save_volume
from medimg.stages.survey import Survey, divide, nothing_there, survey
from medimg.stages.volume_files import outline_file, read_file
from medimg.study import Volume
from medimg.volumes import stem


@dataclass(frozen=True)
class _Run:
    """root: what is searched, which paths are relative to. output: None where nothing is to be written."""

    root: Path
    output: Path | None
    options: ReadOptions = AS_SCANNED


def preprocess_folder(
    root: Path,
    output: Path | None,
    progress: Progress | None = None,
    choice: Choice = EVERYTHING,
    options: ReadOptions = AS_SCANNED,
    dry_run: bool = False,
) -> Manifest:
    """Convert every series and volume file under `root` that was asked for into `output`.

    Writes `<name>.nii.gz`, `<name>.json` and manifest.json. A dry run (and one without `output`) writes nothing and
    reads no pixel: the manifest says what headers tell, and the names there would be; its status may be "to be read".
    A `root` that `medimg select` left gives what was chosen, and nothing else. A volume that `options` let be
    resampled comes with `<name>_made_up_mask.nii.gz`, 1 for every voxel that was not scanned.
    What the manifest of an earlier run in `output` lists is no input, and is removed as soon as there is something to
    write. One series is in memory at a time. The manifest is written whatever happens to single series, and last: a
    run that is stopped leaves none, so that no half of a folder looks whole.
    Raises OutputError, InputError (not_dicom) when there is nothing to convert, UsageError when nothing there was
    asked for.
    """
    listen = progress or silent
    if output is not None:
        check = files.check_output_folder if dry_run else files.output_folder
        check(output)
    run = _Run(root, None if dry_run else output, options)
    if (root / SELECTION_FILE).is_file():
        return _preprocess_selection(run, listen, choice)
    found = survey(root, output, listen)
    chosen, not_chosen = divide(found, choice)
    if not chosen and output is not None and earlier_results(output):
        raise nothing_there(found, root)  # and what the earlier run found stays as it is
    if run.output is not None:
        remove_earlier(run.output)
    manifest = Manifest(root, skipped=found.skipped, damaged=found.damaged)
    manifest.not_chosen = [left_out(scan, why, root) for scan, why in not_chosen]
    for done, scan in enumerate(chosen, start=1):
        manifest.series.append(_convert_found(scan, found, run))
        listen("series", done, len(chosen))
    if run.output is not None:
        files.write_json(run.output / MANIFEST_FILE, manifest.to_dict())
    if not manifest.series:
        raise nothing_there(found, root)
    return manifest


def save_volumes(volumes: Mapping[str, Volume], output: Path) -> Path:
    """Write volumes already in memory (role -> Volume) as `preprocess_folder` would; the manifest's path.

    What a chain's preprocess stage does with `save: true`.
    """
    files.output_folder(output)
    remove_earlier(output, [path for volume in volumes.values() for path in volume.source.files])
    manifest = Manifest(output)
    for role, volume in volumes.items():
        manifest.series.append(_convert_volume(volume, role, _Run(volume.source.path, output), role))
    files.write_json(output / MANIFEST_FILE, manifest.to_dict())
    return output / MANIFEST_FILE


def _preprocess_selection(run: _Run, listen: Progress, choice: Choice) -> Manifest:
    if choice != EVERYTHING:
        raise UsageError(f"{run.root / SELECTION_FILE} has chosen already; name the scan's own folder to choose anew")
    manifest = Manifest(run.root)
    chosen = find_candidates(run.root)
    if run.output is not None:
        remove_earlier(run.output, [path for one in chosen if one.volume for path in one.volume.source.files])
    for done, candidate in enumerate(chosen, start=1):
        manifest.series.append(_convert_chosen(candidate, replace(run, root=candidate.path)))
        listen("series", done, len(chosen))
    if run.output is not None:
        files.write_json(run.output / MANIFEST_FILE, manifest.to_dict())
    return manifest


def _convert_chosen(candidate: Candidate, run: _Run) -> dict[str, Any]:
    """A chosen series as `_convert` does it; a chosen volume file is written again with its sidecar."""
    if candidate.headers is not None:
        return _convert(candidate.headers, run, candidate.role)
    (volume,) = candidate.read()
    name = stem(candidate.path)
    if candidate.role is not None and role_of_name(name) != candidate.role:
        name = f"{name}_{candidate.role}"  # two roles may come from files of one name
    return _convert_volume(volume, name, run, candidate.role)


def _convert_volume(volume: Volume, name: str, run: _Run, role: str | None) -> dict[str, Any]:
    """Write a volume that is in memory already; its manifest entry."""
    source = volume.source
    written = save_volume(volume, run.root, run.output, name, role)
    uids = (source.study_uid or "", source.series_uid or "")
    result = SeriesResult(*uids, modality=volume.modality or "", description=volume.description)
    return entry_of(result, [written], run.root)


def _convert_found(scan: SeriesHeaders | Path, found: Survey, run: _Run) -> dict[str, Any]:
    if isinstance(scan, SeriesHeaders):
        return _convert(scan, run)
    return _convert_file(scan, found.folder, run)


def _convert(headers: SeriesHeaders, run: _Run, role: str | None = None) -> dict[str, Any]:
    """Read one series, write its volumes and sidecars; its manifest entry."""
    read = outline_series if run.output is None else read_series
    return _written(read(headers, run.options), name_of_series(headers), run, role)


def _convert_file(path: Path, folder: Path, run: _Run) -> dict[str, Any]:
    """Read one volume file, write its volumes and sidecars; its manifest entry."""
    result = outline_file(path) if run.output is None else read_file(path)
    return _written(result, name_of_file(path, folder), run, role_of_file(path))


def _written(result: SeriesResult, name: str, run: _Run, role: str | None) -> dict[str, Any]:
    """Write the volumes of a result, numbered when there are several; its manifest entry.

    A volume whose values fit no NIfTI file is a rejection of this entry; a disk that takes nothing ends the run.
    """
    several = len(result.volumes) > 1
    written = []
    for number, volume in enumerate(result.volumes, start=1):
        try:
            written.append(save_volume(volume, run.root, run.output, f"{name}_{number}" if several else name, role))
        except UnstorableError as error:
            reason = InputError(Reason.UNSUPPORTED_KIND, str(error), volume.source.files)
            result.rejection = result.rejection or reason
    return entry_of(result, written, run.root)
