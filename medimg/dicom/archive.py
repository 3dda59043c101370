"""Zip archives as folders: a path may run through one (export.zip/inner/0001), and `open_file` opens it.

Nothing is unpacked beside the user's data. A member is inflated in memory and only as far as it is read; an archive
inside an archive goes to a temporary file without a name. What a member is called is a label: it is never a place on
the disk, so "../" in it leads nowhere.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import shutil
import tempfile
import threading
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from medimg.dicom.labels import labels, walked
from medimg.errors import InputError, Reason

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of an archive with members, and of an empty one (PKWARE APPNOTE sections 4.3.7, 4.3.16)."""

OTHER_ZIPS = (".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub", ".jar", ".apk", ".whl", ".npz", ".pt", ".pth")
"""Zip files that are documents or programs of their own: nobody packs a scan into them."""

MAX_MEMBER_BYTES = 1 << 31
"""What one member may inflate to, 2 GiB: an enhanced CT of 4,000 frames 512 x 512."""

MAX_RATIO = 200
"""How many times its own size an archive may claim to hold, once that is more than FREE_BYTES. Scans deflate to a
half, empty ones to a fiftieth; bombs claim thousands to millions."""

FREE_BYTES = 1 << 30
"""Archives that claim less than 1 GiB in all are no bombs, however well they are packed."""

MAX_MEMBERS = 1 << 20
"""More files than any export has."""

MAX_DEPTH = 4
"""Archives within archives: an export of exports needs two; a bomb can go on for ever."""

HEAD_BYTES = 1 << 16
"""Inflated at first: enough for the header of a classic image, so that listing does not inflate its pixels."""

TAIL_BYTES = 1 << 18
"""What is left of a member is inflated too when it is no more than this: its checksum is verified at its end."""

DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
"""What zipfile raises on damaged, encrypted and unsupported archives."""

ENCRYPTED_FLAG = 0x1
"""General purpose bit 0 (APPNOTE section 4.4.4)."""


def open_file(path: Path) -> BinaryIO:
    """A file, or a member of an archive, as a binary stream that can seek.

    Raises OSError as Path.open does, InputError (unreadable, too_large) for a member that cannot be read.
    """
    try:
        return path.open("rb")
    except OSError:
        place = _through_archive(path)
        if place is None:
            raise
    return io.BufferedReader(_Cursor(_member(path, *place)), HEAD_BYTES)


def is_archive(path: Path) -> bool:
    """True for a zip file, told by its first bytes, that is not a document or a program; False when unreadable."""
    if path.suffix.lower() in OTHER_ZIPS:
        return False
    try:
        with open_file(path) as stream:
            return stream.read(4) in SIGNATURES
    except (OSError, InputError):
        return False


def is_within(path: Path) -> bool:
    """True when the path runs through an archive."""
    return not os.path.lexists(path) and _through_archive(path) is not None


def members(path: Path) -> list[Path]:
    """The paths of every file in the archive, in the order in which a folder of them would be walked.

    Raises InputError: unreadable, too_large.
    """
    outer = _through_archive(path)
    archive = _opened(path, *outer) if outer else _opened(path, path, _stamp(path))
    return [path / label for label in sorted(archive.labels, key=walked)]


class _Archive:
    """An open zip file: label -> its member. No label is the folder of another, so every path has one meaning."""

    def __init__(self, path: Path, stream: BinaryIO, depth: int) -> None:
        self.depth = depth
        weakref.finalize(self, stream.close)
        try:
            self.zip = zipfile.ZipFile(stream)
        except DAMAGE as error:
            raise InputError(
                Reason.UNREADABLE, f"{path}: the archive is damaged or cut short; copy it again", [path]
            ) from error
        self.labels = labels([info for info in self.zip.infolist() if not info.is_dir()])
        claimed, size = sum(info.file_size for info in self.labels.values()), stream.seek(0, io.SEEK_END)
        if len(self.labels) > MAX_MEMBERS or claimed > max(FREE_BYTES, MAX_RATIO * size):
            message = f"{path}: the archive claims {len(self.labels):,} files of {claimed >> 20:,} MiB; not read"
            raise InputError(Reason.TOO_LARGE, message, [path])


class _Member:
    """The bytes of one member, inflated as far as somebody has read; safe for several threads."""

    def __init__(self, path: Path, archive: _Archive, info: zipfile.ZipInfo) -> None:
        self.path, self.size = path, info.file_size
        self._archive = archive  # which closes its file when nobody needs it any more
        self._data = bytearray()
        self._lock = threading.Lock()
        self._source = _inflating(path, archive, info)

    def read(self, start: int, count: int) -> bytes:
        """The bytes [start, start + count), fewer at the end."""
        stop = min(start + count, self.size)
        with self._lock:
            if stop > len(self._data):
                self._inflate(max(stop, HEAD_BYTES, 2 * len(self._data)))
            return bytes(memoryview(self._data)[start:stop])

    def _inflate(self, stop: int) -> None:
        stop = self.size if stop > self.size - TAIL_BYTES else stop
        with _told(self.path):
            while len(self._data) < stop:
                chunk = self._source.read(stop - len(self._data))
                if not chunk:
                    raise EOFError(f"{len(self._data)} of {self.size} bytes")
                self._data += chunk
            if len(self._data) == self.size:
                self._source.read(1)  # reaches the end, where the checksum is verified


class _Cursor(io.RawIOBase):
    """A place in a member; several may read one member."""

    def __init__(self, member: _Member) -> None:
        self._member, self._at = member, 0
        self.name = str(member.path)  # pydicom asks every buffered stream for it

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._member.size}[whence]
        if base + offset < 0:
            raise OSError(f"seek to {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._member.read(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what zipfile raises on a member into InputError (unreadable)."""
    try:
        yield
    except DAMAGE as error:
        message = f"{path}: damaged in its archive, or packed in a way that is not read; unpack it yourself"
        raise InputError(Reason.UNREADABLE, message, [path]) from error


def _inflating(path: Path, archive: _Archive, info: zipfile.ZipInfo) -> IO[bytes]:
    """The member as a stream to be read once, forwards."""
    if info.flag_bits & ENCRYPTED_FLAG:
        message = f"{path}: encrypted in its archive; unpack it with its password and name the folder"
        raise InputError(Reason.UNREADABLE, message, [path])
    if info.file_size > MAX_MEMBER_BYTES:
        message = f"{path}: {info.file_size >> 20:,} MiB in its archive, more than {MAX_MEMBER_BYTES >> 20:,} MiB"
        raise InputError(Reason.TOO_LARGE, message, [path])
    with _told(path):
        return archive.zip.open(info)


def _through_archive(path: Path) -> tuple[Path, tuple[int, ...]] | None:
    """The file on the disk that the path runs through, with what tells whether it changed; None when there is none."""
    for parent in path.parents:
        if parent.is_dir():
            return None
        if parent.is_file():
            return (parent, _stamp(parent)) if is_archive(parent) else None
    return None


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes when the file does; and in a child process, which must not share its parent's place in the file."""
    try:
        status = path.stat()
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(Reason.UNREADABLE, f"{path}: {why}; check the file and its permissions", [path]) from error
    return (os.getpid(), status.st_mtime_ns, status.st_size, status.st_ino)


@functools.lru_cache(maxsize=1)
def _member(path: Path, outer: Path, stamp: tuple[int, ...]) -> _Member:
    """The member, kept until another one is opened: the frames of one file inflate it once."""
    archive, label = _holder(path, outer, stamp)
    return _Member(path, archive, archive.labels[label])


def _holder(path: Path, outer: Path, stamp: tuple[int, ...]) -> tuple[_Archive, str]:
    """The innermost archive the path runs through, and the member's label in it."""
    archive, here, label = _opened(outer, outer, stamp), outer, ""
    for part in path.relative_to(outer).parts:
        if label in archive.labels:  # a member that has a path below it: an archive inside
            here, label = here / label, ""
            archive = _opened(here, outer, stamp)
        label = f"{label}/{part}" if label else part
    if label not in archive.labels:
        raise InputError(Reason.UNREADABLE, f"{path}: no such file in the archive; check the path", [path])
    return archive, label


@functools.lru_cache(maxsize=8)
def _opened(path: Path, outer: Path, stamp: tuple[int, ...]) -> _Archive:
    """An archive on the disk, or a member of one as an archive (copied to a nameless temporary file)."""
    if path == outer:
        try:
            return _Archive(path, path.open("rb"), 0)
        except OSError as error:
            why = error.strerror or str(error)
            raise InputError(Reason.UNREADABLE, f"{path}: {why}; check the file and its permissions", [path]) from error
    holder, label = _holder(path, outer, stamp)
    if holder.depth + 1 >= MAX_DEPTH:
        message = f"{path}: more than {MAX_DEPTH} archives in one another; unpack it yourself"
        raise InputError(Reason.TOO_LARGE, message, [path])
    copy = tempfile.TemporaryFile(prefix="medimg-")  # noqa: SIM115 - lives as long as the archive does
    with _inflating(path, holder, holder.labels[label]) as stream, _told(path):
        shutil.copyfileobj(stream, copy)
    return _Archive(path, copy, holder.depth + 1)
