"""NiiVue, the viewer inside report.html: which version, and its code when it was installed with this package."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

FOLDER = Path(__file__).parent
BUNDLE = "niivue.js"


def identity() -> dict[str, str]:
    """What niivue.json pins: `name`, `version`, `licence`, `url`, `integrity`, `member`, `sha256`."""
    pinned: dict[str, str] = json.loads(FOLDER.joinpath("niivue.json").read_text(encoding="utf-8"))
    return pinned


def bundle() -> str | None:
    """NiiVue's code with its licence before it; None where it was not installed, or is not what niivue.json pins."""
    place = FOLDER.joinpath(BUNDLE)
    if not place.is_file():
        return None
    code = place.read_bytes()
    if hashlib.sha256(code).hexdigest() != identity()["sha256"]:
        return None
    licence = FOLDER.joinpath("LICENSE.niivue.txt").read_text(encoding="utf-8")
    return f"/*! {identity()['version']}, {licence}*/\n{code.decode('utf-8')}"
