"""Where medimg keeps what outlives a command: bundles, compiled networks, the digests this machine trusts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from medimg.errors import OutputError

ENVIRONMENT = "MEDIMG_HOME"
"""The one environment variable; else $XDG_DATA_HOME/medimg, else ~/.local/share/medimg (XDG Base Directories 0.8)."""


def home() -> Path:
    """The folder, which need not exist."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "medimg"


def library() -> Path:
    """The folder of the downloaded and imported bundles, one folder a name."""
    return home() / "bundles"


def compiled() -> Path:
    """The folder of networks compiled by OpenVINO, and of what is remembered of them."""
    return home() / "compiled"


def writable(folder: Path) -> Path:
    """The folder, made where it was not there. Raises OutputError where nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise OutputError(
            f"cannot keep compiled networks in {folder}: {error.strerror}; set {ENVIRONMENT} to a folder that can be "
            "written, or use --engine torch"
        ) from error
