"""What lies under a path, before anything of it is read: DICOM series, other volume files, and the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from medimg.dicom.discover import SeriesHeaders, Skipped, discover, search_folder
from medimg.dicom.parse import quiet
from medimg.errors import InputError, Reason
from medimg.progress import Progress, silent
from medimg.stages.choose import EVERYTHING, Choice, Scan
from medimg.stages.volume_files import files_of, is_scan_file, outline_file, read_file
from medimg.volumes import is_volume_file

IN_ARCHIVE = "a volume file inside an archive is not read; unpack it and name it"


@dataclass
class Survey:
    """Every file under `folder` is in a series, in `files`, a part of one of these, or skipped.

    damaged: those of the skipped files that were meant to be DICOM.
    """

    folder: Path
    series: list[SeriesHeaders]
    files: list[Path] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)


def survey(root: Path, results: Path | None = None, progress: Progress = silent) -> Survey:
    """Look at everything under `root`; volume files under the folder `results` are of an earlier run, and skipped.

    Raises InputError (unreadable) when the root cannot be listed.
    """
    discovery = discover(root, progress)
    damaged = discovery.damaged
    own = None if results is None else results.resolve()
    found = [
        skip.path
        for skip in discovery.skipped
        if skip.reason is Reason.NOT_DICOM and is_scan_file(skip.path) and own not in skip.path.resolve().parents
    ]
    with quiet():
        taken = {part for path in found for part in files_of(path)}
    rest = [_told(skip) for skip in discovery.skipped if skip.path not in taken]
    return Survey(search_folder(discovery.root), discovery.series, found, rest, damaged)


def divide(found: Survey, choice: Choice) -> tuple[list[SeriesHeaders | Path], list[tuple[SeriesHeaders | Path, str]]]:
    """What was asked for, and the rest with the reason why not.

    Raises UsageError when something is there and nothing of it was asked for.
    """
    everything: list[SeriesHeaders | Path] = [*found.series, *found.files]
    if choice == EVERYTHING:
        return everything, []
    scans = [_scan_of_series(s) if isinstance(s, SeriesHeaders) else _scan_of_file(s, choice) for s in everything]
    choice.check(scans, str(found.folder))
    whys = [choice.refusal(scan) for scan in scans]
    chosen = [entry for entry, why in zip(everything, whys, strict=True) if why is None]
    return chosen, [(entry, why) for entry, why in zip(everything, whys, strict=True) if why is not None]


def nothing_there(found: Survey, root: Path) -> InputError:
    """The refusal of a path under which there is no scan at all."""
    words = next((f"; {skip.path.name}: {skip.message}" for skip in found.skipped if skip.message), "")
    message = (
        f"{root} holds no DICOM image and no volume file ({len(found.skipped)} other files{words}); "
        "name a folder or an archive that holds a scan"
    )
    return InputError(Reason.NOT_DICOM, message, [root])


def _scan_of_series(series: SeriesHeaders) -> Scan:
    label = f"{series.modality or '?'} {series.description or 'without description'} ({series.series_uid})"
    return Scan(series.series_uid, series.modality, series.description, label)


def _scan_of_file(path: Path, choice: Choice) -> Scan:
    """A volume file's modality often shows in its voxels only, which are read when it is asked for."""
    known = outline_file(path)
    if choice.modalities and not known.modality:
        known = read_file(path)
    return Scan(known.series_uid, known.modality, known.description, f"{known.modality or '?'} {path.name}")


def _told(skip: Skipped) -> Skipped:
    """A volume file in an archive looks like one that is read; it is told that it is not."""
    inside = skip.reason is Reason.NOT_DICOM and not skip.path.exists() and is_volume_file(skip.path)
    return Skipped(skip.path, skip.reason, IN_ARCHIVE) if inside else skip
