"""Something that is done now and then beside the work, and must not become the work."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

SHARE = 0.1
"""Of the time, at most, that it may take."""


@dataclass
class Periodic:
    """Calls `action` when it is called itself, but not more often than every `seconds`, nor for more than SHARE of the
    time."""

    action: Callable[[], object]
    seconds: float
    _due: float = 0.0

    def __call__(self) -> None:
        """Now, if it is time."""
        began = time.monotonic()
        if began < self._due:
            return
        self.action()
        now = time.monotonic()
        self._due = now + max(self.seconds, (now - began) / SHARE)
