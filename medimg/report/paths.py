"""Every `path` in a written document is relative to the folder that holds it, so that folders can be moved together."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def with_relative_paths(document: Any, folder: Path) -> Any:
    """A copy in which the absolute values of keys named "path" are relative to `folder`."""
    base = folder.resolve()
    return _mapped(document, lambda path: os.path.relpath(path, base) if Path(path).is_absolute() else path)


def with_absolute_paths(document: Any, folder: Path) -> Any:
    """The inverse of `with_relative_paths`."""
    base = folder.resolve()
    return _mapped(document, lambda path: os.path.normpath(base / path))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {
            key: change(entry) if key == "path" and isinstance(entry, str) else _mapped(entry, change)
            for key, entry in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_mapped(entry, change) for entry in value]
    return value
