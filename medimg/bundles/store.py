"""The library: bundles brought in from a folder or a zip, with the digest of every file, for use without network."""

from __future__ import annotations

import json
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from medimg import files
from medimg.bundles.folder import CONFIGS, inside, read_metadata
from medimg.bundles.home import library
from medimg.bundles.large_files import read_large_files
from medimg.bundles.trust import audit
from medimg.errors import MedimgError, OutputError, PipelineError, UsageError

SCHEMA = "medimg.bundle/1"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""A bundle's name is a folder's, and leads nowhere else."""

MAX_BYTES = 64 << 30
"""Of everything in a bundle: a guard against archives that inflate without end."""


@dataclass(frozen=True)
class Check:
    """One thing that `verify` looked at; detail says what is wrong, or what was found."""

    what: str
    sound: bool
    detail: str


def import_bundle(source: Path, name: str | None = None, *, origin: str | None = None) -> Path:
    """Copy a bundle's folder or zip into the library, whole or not at all; return its folder there.

    Nothing in it is executed. Raises PipelineError for what is no bundle, or holds links or paths that lead out of it,
    UsageError for a name that cannot be a folder's, OutputError when it cannot be written.
    """
    library().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=files.TEMPORARY_PREFIX, dir=library()) as temporary:
        place = Path(temporary)
        folder = _unpacked(source, place / "unpacked") if source.is_file() else source
        chosen = name or folder.resolve().name
        if NAME.fullmatch(chosen) is None:
            raise UsageError(
                f"{chosen!r} can be no bundle's name; give one of letters, digits, '-' and '_' with --name"
            )
        _check_links(folder)
        audit(folder)
        read_large_files(folder)
        _copy(folder, place / "copy")
        target = library() / chosen
        _replace(place / "copy", target, place / "older")
    files.write_json(library() / f"{chosen}.json", _record(target, origin or str(source.resolve())))
    return target


def verify(folder: Path) -> list[Check]:
    """What is sound about a bundle and what is not: nothing is executed."""
    checks = [_checked("no link leads out of it", lambda: _links(folder))]
    checks.append(_checked("its configuration can be read", lambda: f"digest {audit(folder).digest}"))
    checks.append(_checked("its metadata can be read", lambda: str(read_metadata(folder).get("version", "no version"))))
    try:
        for entry in read_large_files(folder):
            there = entry.is_there
            detail = "as promised" if there else "differs" if entry.path.is_file() else "missing"
            checks.append(Check(f"{entry.name} ({entry.hash_type})", there, detail))
    except MedimgError as error:
        checks.append(Check("large_files can be read", False, str(error)))
    return checks + [_recorded(folder, name, digest) for name, digest in recorded_files(folder).items()]


def recorded_files(folder: Path) -> dict[str, str]:
    """File -> SHA-256 as it was brought into the library; {} for a folder elsewhere."""
    path = _record_path(folder)
    if path is None:
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(digest) for name, digest in document["files"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}


def _recorded(folder: Path, name: str, digest: str) -> Check:
    path = folder / name
    same = path.is_file() and files.sha256_of_file(path) == digest
    return Check(name, same, "as it was brought here" if same else "changed" if path.is_file() else "missing")


def _checked(what: str, look: Callable[[], str]) -> Check:
    try:
        return Check(what, True, look())
    except MedimgError as error:
        return Check(what, False, str(error))


def _links(folder: Path) -> str:
    _check_links(folder)
    return f"{sum(1 for _ in _regular_files(folder))} files"


def _check_links(folder: Path) -> None:
    for path in folder.rglob("*"):
        inside(folder, path.relative_to(folder).as_posix())


def _regular_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)


def _copy(folder: Path, target: Path) -> None:
    for path in _regular_files(folder):
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _replace(source: Path, target: Path, aside: Path) -> None:
    """Put a finished folder in the place of an older one, which is moved aside."""
    try:
        if target.exists():
            target.rename(aside)
        source.rename(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}; set MEDIMG_HOME to another") from error


def _unpacked(archive: Path, place: Path) -> Path:
    """Unpack a zip; return the folder in it that is the bundle. Raises PipelineError for members that lead out."""
    place.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            _check_members(archive, opened)
            opened.extractall(place)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise PipelineError(f"cannot read {archive} as a zip of a bundle: {error}; download it again") from error
    found = [path for path in (place, *sorted(place.iterdir())) if any((path / name).is_file() for name in CONFIGS)]
    if not found:
        raise PipelineError(f"{archive} holds no bundle: no {CONFIGS[0]} in it or in its one folder")
    if found[0] == place:
        return place.rename(place.with_name(archive.stem))
    return found[0]


def _check_members(archive: Path, opened: zipfile.ZipFile) -> None:
    if sum(member.file_size for member in opened.infolist()) > MAX_BYTES:
        raise PipelineError(f"{archive} would inflate to more than {MAX_BYTES >> 30} GiB; it is no bundle")
    for member in opened.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        link = stat.S_ISLNK(member.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or link or ":" in path.parts[0:1]:
            raise PipelineError(f"{archive}: {member.filename!r} leads out of the archive; do not use it")


def _record_path(folder: Path) -> Path | None:
    """Where the digests of a folder of the library lie; None for a folder elsewhere."""
    return library() / f"{folder.name}.json" if folder.resolve().parent == library().resolve() else None


def _record(folder: Path, origin: str) -> dict[str, Any]:
    """What came: the digest of every file."""
    listed = {path.relative_to(folder).as_posix(): files.sha256_of_file(path) for path in _regular_files(folder)}
    return {
        "schema": SCHEMA,
        "name": folder.name,
        "version": str(read_metadata(folder).get("version", "")),
        "from": origin,
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "files": listed,
    }
