"""Received instances on the disk, as STUDY/INSTANCE.dcm: bounded, and synced before anybody is told of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from medimg import files
from medimg.errors import OutputError
from medimg.pacs.uids import file_name

SUFFIX = ".dcm"


class InboxFullError(OutputError):
    """An instance more would go beyond the quota, or leave too little of the disk."""


class Inbox:
    """The folder of what was received.

    quota: bytes that it may hold; reserve: bytes that stay free on its disk. Several threads may use it. What a kill
    left half-written is removed at the start. Raises OutputError when the folder cannot be written.
    """

    def __init__(self, folder: Path, quota: int, reserve: int) -> None:
        self.folder, self._quota, self._reserve = files.output_folder(folder), quota, reserve
        self._used, self._promised = 0, 0
        self._counting = threading.Lock()
        self._studies: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        for left in folder.rglob(f"{files.TEMPORARY_PREFIX}*"):
            _remove(left)
        self._used = sum(_size(study) for study in self._folders())

    def store(self, study_uid: str, uid: str, data: bytes) -> Path:
        """Where the instance lies, on the disk for good. One that is there already is not written again; another of
        the same UID is kept beside it, for the reader to judge.

        Raises InboxFullError, and OutputError when the disk takes nothing.
        """
        folder = self.folder / file_name(study_uid)
        with self._lock_of(folder), self._room(len(data)):
            path = _place(folder, file_name(uid), data)
            if path.exists():
                return path
            new = not folder.exists()
            files.write_bytes(path, data)
            files.sync_folder(folder)
            if new:
                files.sync_folder(self.folder)
            with self._counting:
                self._used += len(data)
        return path

    def studies(self) -> Iterator[tuple[Path, float]]:
        """Every study's folder, and when it was last added to (seconds since the epoch)."""
        for folder in self._folders():
            yield folder, _newest(folder)

    def remove(self, folder: Path, since: float) -> bool:
        """Drop a study that was not added to since then; whether it is gone."""
        with self._lock_of(folder):
            if _newest(folder) > since:
                return False
            aside = Path(tempfile.mkdtemp(prefix=files.TEMPORARY_PREFIX, dir=self.folder))
            moved = folder.rename(aside / folder.name)
        size = _size(moved)
        _remove(aside)
        with self._counting:
            self._used -= size
        return True

    def _folders(self) -> list[Path]:
        named = (path for path in self.folder.iterdir() if not path.name.startswith(files.TEMPORARY_PREFIX))
        return sorted(path for path in named if path.is_dir())

    def _lock_of(self, folder: Path) -> threading.Lock:
        with self._counting:
            return self._studies[folder.name]

    @contextlib.contextmanager
    def _room(self, size: int) -> Iterator[None]:
        """Room for `size` bytes, which nobody else is promised meanwhile."""
        with self._counting:
            wanted = self._promised + size
            free = shutil.disk_usage(self.folder).free
            if self._used + wanted > self._quota or free - wanted < self._reserve:
                raise InboxFullError(f"{self.folder} is full; raise --quota, or free space on its disk")
            self._promised = wanted
        try:
            yield
        finally:
            with self._counting:
                self._promised -= size


def _place(folder: Path, name: str, data: bytes) -> Path:
    path = folder / f"{name}{SUFFIX}"
    if not path.exists() or path.read_bytes() == data:
        return path
    return folder / f"{name}_{hashlib.sha256(data).hexdigest()[:8]}{SUFFIX}"


def _whole(folder: Path) -> Iterator[os.stat_result]:
    """Size and time of every instance; what is being written is not one yet."""
    for entry in os.scandir(folder):
        if not entry.name.startswith(files.TEMPORARY_PREFIX):
            yield entry.stat()


def _newest(folder: Path) -> float:
    return max(map(files.changed_at, _whole(folder)), default=0.0)


def _size(folder: Path) -> int:
    return sum(status.st_size for status in _whole(folder))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
