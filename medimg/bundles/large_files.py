"""`large_files.yml` of a bundle: weights that lie elsewhere, with their digests. Every path and address is checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from medimg.bundles.folder import inside, read_mapping
from medimg.errors import PipelineError
from medimg.files import READ_CHUNK_BYTES

NAMES = ("large_files.yml", "large_files.yaml", "large_files.json")

HASHES = ("md5", "sha1", "sha256", "sha512")
"""What MONAI's `check_hash` knows."""

SCHEMES = ("https", "http")
"""No file:, and nothing a helper program would be started for."""


@dataclass(frozen=True)
class LargeFile:
    """One entry: where the file belongs in the bundle, where it lies, and the digest it must have."""

    path: Path
    name: str
    url: str
    hash_type: str
    digest: str

    @property
    def is_there(self) -> bool:
        """Whether the file is in its place with the digest that was promised."""
        return self.path.is_file() and digest_of(self.path, self.hash_type) == self.digest.lower()


def read_large_files(folder: Path) -> list[LargeFile]:
    """The entries of the bundle's list, [] where it has none.

    Raises PipelineError for a path that leaves the bundle, an address that is no web address, or a missing digest.
    """
    paths = [inside(folder, name) for name in NAMES if (folder / name).is_file()]
    entries = [entry for path in paths for entry in _entries(path)]
    return [_large_file(folder, paths[0], entry) for entry in entries]


def digest_of(path: Path, kind: str) -> str:
    """Hex digest of a file's bytes by one of HASHES."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(READ_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _entries(path: Path) -> list[Any]:
    entries = read_mapping(path).get("large_files", [])
    if not isinstance(entries, list):
        raise PipelineError(f"{path}: large_files is no list; repair the bundle")
    return entries


def _large_file(folder: Path, source: Path, entry: Any) -> LargeFile:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise PipelineError(f"{source}: an entry needs a path, not {entry!r}; repair the bundle")
    url, kind = str(entry.get("url", "")), str(entry.get("hash_type", "md5")).lower()
    if urlsplit(url).scheme not in SCHEMES:
        raise PipelineError(f"{source}: {entry['path']} comes from {url!r}, which is no web address; repair the bundle")
    if kind not in HASHES or not entry.get("hash_val"):
        raise PipelineError(f"{source}: {entry['path']} has no digest that can be checked; repair the bundle")
    return LargeFile(inside(folder, entry["path"]), entry["path"], url, kind, str(entry["hash_val"]))
