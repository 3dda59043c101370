"""Names of the files that medimg makes: letters, digits and a digest; safe, unique, and silent about the site."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from medimg.dicom.discover import SeriesHeaders
from medimg.volumes import stem

MAX_SLUG = 40
"""Characters of a description or a file's stem kept in a name."""

DIGITS = 8
"""Hex digits of the digest of the UIDs or the place: what has one description or name stays apart."""


def name_of_series(headers: SeriesHeaders) -> str:
    """A name without suffix for a series: number, description, digest of its UIDs."""
    text = headers.description or headers.modality or "series"
    number = "" if headers.number is None else f"{headers.number:03d}_"
    return f"{number}{_slug(text) or 'series'}_{_digest(f'{headers.study_uid}/{headers.series_uid}')}"


def name_of_file(path: Path, root: Path) -> str:
    """A name without suffix for what is made of a volume file found under `root`."""
    place = path.relative_to(root).as_posix() if root in path.parents else path.name
    return f"{_slug(stem(path)) or 'volume'}_{_digest(place)}"


def name_of_case(text: str, key: str) -> str:
    """A name for the folder of a case: what a person calls it, and the digest of what it is."""
    return f"{_slug(text) or 'case'}_{_digest(key)}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:MAX_SLUG].strip("-")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]
