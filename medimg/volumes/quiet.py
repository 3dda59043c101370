"""ITK's readers tell of damage on the process's own stderr, past Python, and then by an exception, which is enough."""

from __future__ import annotations

import os
import threading
from types import TracebackType

STDERR = 2


class QuietStderr:
    """A context in which nothing written to file descriptor 2 is seen; threads may be in it together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved = -1

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._turn_off()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._saved >= 0:
                os.dup2(self._saved, STDERR)
                os.close(self._saved)
                self._saved = -1

    def _turn_off(self) -> None:
        try:
            self._saved = os.dup(STDERR)
        except OSError:  # closed by whoever started us
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, STDERR)
        os.close(nowhere)


quiet_stderr = QuietStderr()
"""The one of this process."""
