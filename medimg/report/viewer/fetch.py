"""The build backend: setuptools, after NiiVue's bundle has been fetched into this folder.

NiiVue is a package of npm, so no requirement of a Python package brings it, and it is not kept in git. Whoever builds a
wheel or installs the checkout gets the version that niivue.json pins, or none when its digest differs. Also a script:
`python medimg/report/viewer/fetch.py`. Only the standard library is needed, for it runs before anything is installed.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
TARGET = FOLDER / "niivue.js"
SECONDS = 120
"""A registry that does not answer for this long is taken as out of reach."""


def fetch() -> Path:
    """`niivue.js` beside this file, fetched unless it is there already. Raises OSError when it cannot be had."""
    pin = json.loads((FOLDER / "niivue.json").read_text(encoding="utf-8"))
    if TARGET.is_file() and _sha256(TARGET.read_bytes()) == pin["sha256"]:
        return TARGET
    with tempfile.TemporaryDirectory() as scratch:
        archive = _download(pin, Path(scratch))
        _check(archive, pin["integrity"])
        with tarfile.open(archive) as package:
            member = package.extractfile(pin["member"])
            code = b"" if member is None else member.read()
    if _sha256(code) != pin["sha256"]:
        raise OSError(f"{pin['member']} of {pin['url']} is not what niivue.json pins")
    TARGET.write_bytes(code)
    return TARGET


def _download(pin: dict[str, str], folder: Path) -> Path:
    """The package's archive: through npm where it is installed (it knows this machine's mirror), else from its URL."""
    npm = shutil.which("npm")
    if npm is not None:
        wanted = f"{pin['name']}@{pin['version']}"
        done = subprocess.run(
            [npm, "pack", "--silent", wanted], cwd=folder, capture_output=True, timeout=SECONDS, check=False
        )
        packed = sorted(folder.glob("*.tgz"))
        if done.returncode == 0 and packed:
            return packed[0]
    archive = folder / "package.tgz"
    with urllib.request.urlopen(pin["url"], timeout=SECONDS) as answer:
        archive.write_bytes(answer.read())
    return archive


def _check(archive: Path, integrity: str) -> None:
    """npm's own digest of a package (Subresource Integrity): "sha512-" and base64."""
    kind, _, expected = integrity.partition("-")
    found = base64.b64encode(hashlib.new(kind, archive.read_bytes()).digest()).decode("ascii")
    if found != expected:
        raise OSError(f"{archive.name} is not what niivue.json pins: {kind} {found}")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _fetch_or_say() -> None:
    """Without a net the package is built all the same; its reports then show pictures, and say so."""
    try:
        fetch()
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"medimg: the interactive viewer is left out, NiiVue could not be fetched: {error}\n")


def build_wheel(*arguments: Any, **options: Any) -> Any:
    """PEP 517."""
    return _setuptools().build_wheel(*arguments, **options)


def build_editable(*arguments: Any, **options: Any) -> Any:
    """PEP 660."""
    return _setuptools().build_editable(*arguments, **options)


def build_sdist(*arguments: Any, **options: Any) -> Any:
    """PEP 517; the archive of sources holds the bundle too."""
    return _setuptools().build_sdist(*arguments, **options)


def _setuptools() -> Any:
    _fetch_or_say()
    return importlib.import_module("setuptools.build_meta")


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{fetch()}\n")
    except (OSError, subprocess.TimeoutExpired) as problem:
        sys.exit(f"medimg: NiiVue could not be fetched: {problem}; try again with a connection to registry.npmjs.org")
