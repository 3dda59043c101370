"""Volume files other than DICOM, found in a folder: each becomes what a DICOM series becomes, one result a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from medimg.dicom.verdict import SeriesResult
from medimg.errors import InputError, Reason
from medimg.stages.identify import identified, read_sidecar, with_sidecar
from medimg.study import Source, Volume
from medimg.volumes import Opened, check_voxels, is_volume_file, open_volumes, read_volumes, stem


def check_regular(path: Path) -> None:
    """Raise InputError not_a_regular_file for a pipe, a device or a socket, which are never opened."""
    if path.exists() and not path.is_file() and not path.is_dir():
        message = f"{path} is a pipe, a device or a socket; name a file or a folder"
        raise InputError(Reason.NOT_A_REGULAR_FILE, message, [path])


def is_scan_file(path: Path) -> bool:
    """A volume file; not a hidden one (macOS leaves ._twins), nor the .img half of a pair (PACS also name DICOM so)."""
    hidden = path.name.startswith(".")
    return path.is_file() and not hidden and path.suffix.lower() != ".img" and is_volume_file(path)


def read_file(path: Path) -> SeriesResult:
    """Every volume of a 3-D or 4-D file; never raises for what it holds.

    Volumes of a 4-D file share its grid; `source.headers["split"]` numbers them from 1. One that is not sound sets
    `rejection`; the others stay.
    """
    return _result(path, outline=False)


def outline_file(path: Path) -> SeriesResult:
    """As `read_file`, told by the header and the sidecar alone: every voxel is 0 and takes no memory."""
    return _result(path, outline=True)


def files_of(path: Path) -> tuple[Path, ...]:
    """The file and those that hold its voxels (.img, .raw), which are no scans of their own."""
    try:
        return open_volumes(path).parts
    except InputError:
        twin = path.with_suffix(".img")
        return (path, twin) if path.suffix.lower() == ".hdr" and twin.is_file() else (path,)


def _result(path: Path, outline: bool) -> SeriesResult:
    sidecar = read_sidecar(path)
    result = SeriesResult("", "", str(sidecar.get("modality") or sidecar.get("Modality") or ""), stem(path))
    try:
        opened = open_volumes(path)
        volumes = _outlined(opened) if outline else read_volumes(opened)
    except (InputError, MemoryError) as error:
        result.rejection = error = _named(error if isinstance(error, InputError) else _no_memory(path), path)
        result.unused = [part for part in files_of(path) if part not in error.files]
        return result
    for number, volume in enumerate(volumes, start=1):
        _add(volume, number, len(volumes), result, outline)
    return result


def _add(volume: Volume, number: int, count: int, result: SeriesResult, outline: bool) -> None:
    """Put one volume of the file into the result, or the reason why it is none."""
    try:
        if outline:
            known = with_sidecar(volume, read_sidecar(volume.source.path))
        else:
            check_voxels(volume)
            known, _role = identified(volume)
    except InputError as error:
        if result.rejection is None:
            which = f" (volume {number} of {count})" if count > 1 else ""
            result.rejection = _named(InputError(error.reason, f"{error}{which}", error.files), volume.source.path)
        return
    if count > 1:
        headers = {**known.source.headers, "split": {"Volume": number}}
        known = replace(known, source=replace(known.source, headers=headers))
    result.study_uid, result.series_uid = known.source.study_uid or "", known.source.series_uid or ""
    result.modality, result.description = known.modality or "", known.description
    result.volumes.append(known)


def _no_memory(path: Path) -> InputError:
    message = f"{path}: not enough memory for this volume; close other programs, or crop it"
    return InputError(Reason.TOO_LARGE, message, [path])


def _named(error: InputError, path: Path) -> InputError:
    """The error with the file's name for its path: where somebody keeps scans is not for a manifest."""
    return InputError(error.reason, str(error).replace(str(path), path.name), error.files)


def _outlined(opened: Opened) -> list[Volume]:
    """Volumes of zeros that take no memory."""
    source = Source(path=opened.path, kind=opened.kind, files=opened.parts)
    zeros = np.broadcast_to(np.int16(0), opened.shape[:3])
    return [Volume(zeros, opened.affine_ras, source, description=stem(opened.path)) for _ in range(opened.shape[3])]
