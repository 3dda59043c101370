"""How long work tells of its progress without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as progress(what, done, total) whenever `done` of `total` units of `what` are finished."""


def silent(_what: str, _done: int, _total: int) -> None:
    """The listener that does nothing."""
