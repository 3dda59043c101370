"""What an export holds, folder by folder into the journal: an export of millions of files fits no memory.

A folder whose files have the names, sizes and times they had is not read again.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from medimg.batch.journal import Journal
from medimg.batch.rows import Scan
from medimg.dicom.discover import SeriesHeaders, discover_files
from medimg.dicom.parse import quiet
from medimg.dicom.walk import Skipped, folders_of
from medimg.errors import InputError, Reason
from medimg.progress import Progress, silent
from medimg.stages.candidates import LABEL_MAP_NAME, nnunet_channel_names, nnunet_role
from medimg.stages.facts import Facts, facts_of_series, facts_of_volume
from medimg.stages.identify import role_of_file
from medimg.stages.roles import role_of_description
from medimg.stages.volume_files import files_of, is_scan_file, outline_file
from medimg.volumes import stem

SERIES, FILE = "series", "file"

WORTH_A_POOL = 4000
"""Files from which on several processes read headers; starting them costs about a second."""

AHEAD = 4
"""Folders given to each process beyond the one it reads."""

LABEL_MAP = "a label map by its name"

Skips = list[tuple[Path, str, str]]
Listing = tuple[Path, list[Path], list[Skipped]]
Work = tuple[Path, list[Path], str, Skips]


@dataclass(frozen=True)
class Found:
    """What one folder holds."""

    folder: Path
    signature: str
    scans: list[Scan]
    skipped: Skips


@dataclass(frozen=True)
class Readers:
    """Who reads headers where there are many: `count` of them, once they are started."""

    count: int
    start: Callable[[], Executor]


def processes(count: int) -> Readers:
    """Processes of this machine."""
    return Readers(count, lambda: ProcessPoolExecutor(count, mp_context=get_context("spawn")))


def catalogue(
    roots: Sequence[Path], output: Path, journal: Journal, run: int, readers: Readers, progress: Progress = silent
) -> None:
    """Put every scan under the roots into the journal, and every other file with the reason; OUT is left out.

    Folders that were there in an earlier run and are gone now are forgotten. Raises InputError (unreadable) when a
    root cannot be listed.
    """
    changed = _changed(_folders(roots, output), journal, run)
    for done, found in enumerate(_read_all(changed, readers), start=1):
        with journal.transaction():
            journal.put_folder(str(found.folder), found.signature, run, found.scans, found.skipped)
        progress("folders", done, 0)
    journal.forget_folders_before(run)


def read_folder(folder: Path, paths: Sequence[Path], signature: str, skips: Skips) -> Found:
    """The scans among the files of one folder, from headers alone."""
    discovery = discover_files(paths, folder)
    candidates = [
        skip.path for skip in discovery.skipped if skip.reason is Reason.NOT_DICOM and is_scan_file(skip.path)
    ]
    with quiet():
        parts = {path: files_of(path) for path in candidates}
    labels = {path for path in candidates if LABEL_MAP_NAME.search(stem(path))}
    channels = nnunet_channel_names(folder)
    taken = {part for whole in parts.values() for part in whole}
    skipped = [*skips, *((path, str(Reason.NOT_DICOM), LABEL_MAP) for path in sorted(labels))]
    skipped += [(skip.path, str(skip.reason), skip.message) for skip in discovery.skipped if skip.path not in taken]
    scans = [_of_series(series, folder) for series in discovery.series]
    for path in candidates:
        if path not in labels:
            scans.append(_of_file(path, parts[path], channels))
    return Found(folder, signature, scans, skipped)


def signature_of(paths: Iterable[Path]) -> str:
    """Digest of the files' names, sizes and times of change; of a member of an archive, of the archive."""
    digest = hashlib.sha256()
    for path in paths:
        status = _status(path)
        named = os.fsencode(path.name)
        digest.update(named + f"\0{status.st_size}\0{status.st_mtime_ns}\0".encode() if status else named)
    return digest.hexdigest()


def series_of(scan_files: Sequence[Path], series_uid: str) -> SeriesHeaders:
    """The series of these files, read again. Raises InputError when it is gone."""
    found = [s for s in discover_files(scan_files, scan_files[0].parent).series if s.series_uid == series_uid]
    if not found:
        message = f"{scan_files[0].parent} no longer holds series {series_uid}; run medimg batch again"
        raise InputError(Reason.NOT_A_REGULAR_FILE, message, list(scan_files))
    return found[0]


def whole_facts(scan: Scan) -> Scan:
    """The scan with the facts of all its files, where it was pieced together from several folders."""
    if scan.facts or scan.kind == FILE:
        return scan
    series = series_of(scan.files, scan.series_uid)
    return replace(scan, facts=_stored(facts_of_series(series)), modality=series.modality)


def facts_from(stored: dict[str, object]) -> Facts:
    """The facts of a scan as the journal has them."""
    problem = stored.get("problem")
    return Facts(**{**stored, "problem": Reason(problem) if problem else None})  # type: ignore[arg-type]


def on_disk(path: Path) -> Path:
    """The file itself, or the archive it is a member of, or the nearest folder where both are gone."""
    return next((place for place in (path, *path.parents) if place.exists()), path)


def _status(path: Path) -> os.stat_result | None:
    try:
        return on_disk(path).stat()
    except OSError:
        return None


def _folders(roots: Sequence[Path], output: Path) -> Iterator[Listing]:
    own = output.resolve()
    for root in roots:
        within = own in (root.resolve(), *root.resolve().parents)  # what was fetched lies in OUT itself
        for folder, paths, unlisted in folders_of(root):
            if within or own not in (folder.resolve(), *folder.resolve().parents):
                yield folder, paths, unlisted


def _changed(folders: Iterable[Listing], journal: Journal, run: int) -> Iterator[Work]:
    """The folders that are new or other than they were, with their signatures."""
    for folder, paths, unlisted in folders:
        signature = signature_of(paths)
        if unlisted or not journal.known_folder(str(folder), signature, run):
            yield folder, paths, signature, [(skip.path, str(skip.reason), skip.message) for skip in unlisted]


def _read_all(work: Iterator[Work], readers: Readers) -> Iterator[Found]:
    """`read_folder` of each; in several processes once there is enough to do, bounded ahead of who takes them."""
    files = 0
    for arguments in work:
        yield read_folder(*arguments)
        files += len(arguments[1])
        if readers.count > 1 and files > WORTH_A_POOL:
            break
    else:
        return
    with readers.start() as pool:
        queue = deque(pool.submit(read_folder, *arguments) for arguments in islice(work, readers.count * AHEAD))
        while queue:
            yield queue.popleft().result()
            queue.extend(pool.submit(read_folder, *arguments) for arguments in islice(work, 1))


def _of_series(series: SeriesHeaders, folder: Path) -> Scan:
    files = tuple(sorted({frame.path for frame in series.frames}))
    return Scan(
        folder=str(folder),
        key=f"{series.study_uid}/{series.series_uid}",
        kind=SERIES,
        modality=series.modality,
        description=series.description,
        files=files,
        signature=signature_of(files),
        study_uid=series.study_uid,
        series_uid=series.series_uid,
        role=role_of_description(series.description) if series.modality == "MR" else None,
        facts=_stored(facts_of_series(series)),
    )


def _of_file(path: Path, parts: tuple[Path, ...], channels: dict[str, str]) -> Scan:
    outline = outline_file(path)
    whole = outline.volumes[0] if len(outline.volumes) == 1 and outline.rejection is None else None
    return Scan(
        folder=str(path.parent),
        key=str(path),
        kind=FILE,
        modality=outline.modality,
        description=stem(path),
        files=(path,),
        signature=signature_of(parts),
        study_uid=outline.study_uid,
        series_uid=outline.series_uid,
        role=nnunet_role(path, channels) or role_of_file(path),
        facts={"refusal": str(outline.rejection)}
        if outline.rejection is not None
        else {"refusal": f"{len(outline.volumes)} volumes in one file; split it with medimg preprocess"}
        if whole is None
        else _stored(facts_of_volume(whole)),
    )


def _stored(facts: Facts) -> dict[str, object]:
    return {**asdict(facts), "problem": None if facts.problem is None else str(facts.problem)}
