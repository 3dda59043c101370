"""Atomic writes (a temporary name beside the target, fsync, rename), relative names, digests.

A killed run leaves nothing half-written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from medimg.errors import OutputError

TEMPORARY_PREFIX = ".medimg-"
READ_CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path with the target's suffixes; renamed onto `target` when the block ends well, else removed.

    Raises OutputError when the disk is full, the folder is not writable, or the target is a folder.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, suffix="-" + target.name, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise _cannot_write(target, error) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o600)  # whoever wrote it may have left it read-only, and a flush needs a writable handle
        _sync(temporary)
        temporary.chmod(0o666 & ~umask())
        temporary.replace(target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


class HashedFile:
    """A file being written whose SHA-256 is taken on the way, so that nobody needs to read it again."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()

    def write(self, data: Any) -> int:
        """Append the bytes of `data`, any object with a contiguous buffer."""
        self._digest.update(data)
        return self._stream.write(data)

    def flush(self) -> None:
        """Hand what was written to the system."""
        self._stream.flush()

    def hexdigest(self) -> str:
        """Of everything written so far."""
        return self._digest.hexdigest()


@contextlib.contextmanager
def hashed(path: Path) -> Iterator[HashedFile]:
    """The file at `path` opened for writing, emptied."""
    with path.open("wb") as stream:
        yield HashedFile(stream)


def write_bytes(target: Path, data: bytes) -> None:
    """Write `data` to `target` atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)


def write_text(target: Path, text: str) -> None:
    """Write `text` to `target` atomically, `encoded`."""
    write_bytes(target, encoded(text))


def encoded(text: str) -> bytes:
    """UTF-8. A byte of a file name that is no UTF-8 (a lone surrogate in Python) is its escape, which JSON reads."""
    return text.encode("utf-8", "backslashreplace")


def write_json(target: Path, document: Any) -> None:
    """Write `document` as `json_text` spells it, atomically."""
    write_text(target, json_text(document))


def json_text(document: Any) -> str:
    """`document` as indented JSON; ValueError for NaN and infinities, which are not JSON."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def output_folder(path: Path) -> Path:
    """`path` as a folder that exists and can be written. Raises OutputError when it is a file or cannot be made."""
    check_output_folder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error
    return path


def check_output_folder(path: Path) -> None:
    """Raises OutputError when `path` is a file, or it, or the folder it would be made in, cannot be written."""
    if path.exists() and not path.is_dir():
        raise OutputError(f"output path {path} is a file; name a folder with -o")
    nearest = next((folder for folder in (path, *path.absolute().parents) if folder.exists()), path)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise OutputError(f"output folder {path} is not writable; choose another with -o")


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a loss of power; nothing where the system cannot do that (Windows)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def changed_at(status: os.stat_result) -> float:
    """When a file was last written or put in its place, in seconds since the epoch: a copy may keep the time at which
    the original was written, but not that at which its own entry was changed."""
    return max(status.st_mtime, status.st_ctime)


def relative(path: Path, folder: Path) -> str:
    """`path` as seen from `folder`, with forward slashes: how every path in a JSON file is written.

    Links on the way are followed, because ".." leaves the folder a link leads to; the file keeps its own name.
    """
    return Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve())).as_posix()


def sha256_of_file(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(READ_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_files(paths: Sequence[Path]) -> str:
    """Hex digest of one file's bytes, or of the digests of several in their order."""
    if len(paths) == 1:
        return sha256_of_file(paths[0])
    return hashlib.sha256("\n".join(map(sha256_of_file, paths)).encode()).hexdigest()


def _sync(path: Path) -> None:
    # Windows flushes only handles that may write
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def umask() -> int:
    """The permissions that new files and folders do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _cannot_write(target: Path, error: OSError) -> OutputError:
    said = _of_the_system(error)
    return OutputError(f"cannot write {target}: {said.strerror or said}; free space or choose another folder with -o")


def _of_the_system(error: OSError) -> OSError:
    """The error that another was made of: pydicom puts its traceback into the message of one of the same kind."""
    while not error.strerror and isinstance(error.__cause__, OSError):
        error = error.__cause__
    return error
