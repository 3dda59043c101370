"""Which files lie below a folder: every regular one in sorted order, and what is none with the reason."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from medimg.errors import InputError, Reason
from medimg.files import TEMPORARY_PREFIX


@dataclass(frozen=True)
class Skipped:
    """A file that belongs to no series, and why. message: more about it, where there is more to say."""

    path: Path
    reason: Reason
    message: str = ""


def folders_of(root: Path) -> Iterator[tuple[Path, list[Path], list[Skipped]]]:
    """Every folder under `root` that holds files, with its own regular files and what cannot be listed; sorted.

    What `discover` reads at once, a folder at a time: an export of millions of files fits no memory.
    """
    unlisted: list[Skipped] = []
    for folder, paths in groupby(regular_files(root, unlisted), key=lambda path: path.parent):
        yield folder, list(paths), unlisted.copy()
        unlisted.clear()
    if unlisted:
        yield root, [], unlisted


def regular_files(root: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """Regular files under `root` in sorted order; anything else is put into `skipped`.

    What medimg itself is writing there, or notes beside what it fetched, is passed over.
    """
    if root.is_file():
        yield root
        return
    seen: set[tuple[int, int]] = set()
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            named = (entry for entry in os.scandir(folder) if not entry.name.startswith(TEMPORARY_PREFIX))
            entries = sorted(named, key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                why = error.strerror or str(error)
                raise InputError(Reason.UNREADABLE, f"cannot list {root}: {why}; check the path", [root]) from error
            skipped.append(Skipped(folder, Reason.UNREADABLE))
            continue
        folders = []
        for entry in entries:
            path = Path(entry.path)
            mode = _mode(path)
            if stat.S_ISDIR(mode):
                folders.append(path)
            elif stat.S_ISREG(mode):
                yield path
            else:
                skipped.append(Skipped(path, Reason.NOT_A_REGULAR_FILE))
        pending.extend(reversed(folders))


def _mode(path: Path) -> int:
    """File type bits, links followed; 0 for a broken link."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0
