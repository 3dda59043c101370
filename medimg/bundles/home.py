"""Where medimg keeps what outlives a command: downloaded bundles, and the digests this machine trusts."""

from __future__ import annotations

import os
from pathlib import Path

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
