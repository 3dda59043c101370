"""One process at a time on one output folder."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from medimg.errors import OutputError, UsageError


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`; the system lets go of it however the process ends.

    Raises UsageError when another process holds it, OutputError when it cannot be made.
    """
    try:
        stream = path.open("a+", encoding="ascii")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another folder with -o") from error
    with stream:
        try:
            _lock(stream.fileno())
        except OSError as error:
            if error.errno not in TAKEN:
                raise OutputError(f"cannot lock {path}: {error.strerror}; choose a folder on another drive") from error
            stream.seek(0)
            who = stream.read().strip() or "unknown"
            message = f"another medimg (process {who}) is at work on {path.parent}; wait for it, or choose another -o"
            raise UsageError(message) from error
        stream.truncate(0)
        with contextlib.suppress(OSError):  # who holds it is for people: on a full disk it is not told
            os.write(stream.fileno(), str(os.getpid()).encode("ascii"))
        yield


TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
"""Somebody else has the lock (flock(2), and _locking on Windows); anything else is a drive that knows no locks."""


def _lock(descriptor: int) -> None:
    """Raises OSError when somebody else has it."""
    try:
        import fcntl
    except ImportError:
        import msvcrt  # Windows

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
