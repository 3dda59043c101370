"""What lies under a path, before anything of it is read: DICOM series, other volume files, and the rest."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from medimg.dicom.discover import SeriesHeaders, discover, search_folder
from medimg.dicom.parse import quiet
from medimg.dicom.walk import Skipped
from medimg.errors import InputError, Reason
from medimg.progress import Progress, silent
from medimg.stages.choose import EVERYTHING, Choice, Scan
from medimg.stages.earlier import earlier_results
from medimg.stages.volume_files import check_regular, files_of, is_scan_file, outline_file, read_file
from medimg.volumes import is_volume_file

IN_ARCHIVE = "a volume file inside an archive is not read; unpack it and name it"


EARLIER = "written into the output folder by an earlier run; not read, and replaced by the next one"


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
    """Look at everything under `root`; what an earlier run left in the folder `results` is skipped.

    Raises InputError: unreadable when the root cannot be listed, not_a_regular_file.
    """
    check_regular(root)
    discovery = discover(root, progress)
    damaged = discovery.damaged
    own = set() if results is None else {path.resolve() for path in earlier_results(results)}
    found = [
        skip.path
        for skip in discovery.skipped
        if skip.reason is Reason.NOT_DICOM and is_scan_file(skip.path) and skip.path.resolve() not in own
    ]
    with quiet():
        taken = {part for path in found for part in files_of(path)}
    rest = [_told(skip, own) for skip in discovery.skipped if skip.path not in taken]
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


def _told(skip: Skipped, own: Collection[Path]) -> Skipped:
    """With a word on files that look like one that is read: in an archive, and of an earlier run."""
    if skip.reason is not Reason.NOT_DICOM:
        return skip
    if own and skip.path.resolve() in own:
        return Skipped(skip.path, skip.reason, EARLIER)
    inside = not skip.path.exists() and is_volume_file(skip.path)
    return Skipped(skip.path, skip.reason, IN_ARCHIVE) if inside else skip
