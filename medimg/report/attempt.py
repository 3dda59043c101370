"""One part of a report that cannot be made is a line in words, and costs none of the others."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from medimg.errors import MedimgError


@contextlib.contextmanager
def attempt(name: str, failed: list[str]) -> Iterator[None]:
    """Make the file `name` in memory; whatever that raises becomes a line of `failed`, its traceback a log message.

    Not for writing: a disk that is full or gone is an OutputError of the whole run.
    """
    try:
        yield
    except Exception as error:
        logging.getLogger(__name__).info("%s could not be made", name, exc_info=True)
        failed.append(f"{name} was not written: {_why(error).removeprefix(f'{name}: ')}")


def _why(error: Exception) -> str:
    if isinstance(error, MedimgError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory"
    return f"unexpected error: {type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
