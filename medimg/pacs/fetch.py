"""Whole answers of a PACS onto the disk, series by series; what is there already is not fetched again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from medimg import files
from medimg.pacs.query import Match, Pacs, Query, Transfer
from medimg.progress import Progress, silent

WHOLE = ".medimg-whole"
"""A file that says that every instance of its folder's series came."""


def fetch(pacs: Pacs, query: Query, folder: Path, progress: Progress = silent) -> Transfer:
    """Every series that matches into `folder`/STUDY/SERIES; what failed is in the result. Raises NetworkError."""
    result = Transfer([], [])
    for number, match in enumerate(pacs.find(query), start=1):
        place = folder / _short(match.study_uid) / _short(match.series_uid)
        if not _is_whole(place / WHOLE, match):
            got = pacs.get(match, files.output_folder(place))
            result.add(got)
            if not got.failed:
                files.write_text(place / WHOLE, _label(match))
        progress("series", number, 0)
    return result


def _short(uid: str) -> str:
    """A folder's name for a UID: it comes from outside."""
    return hashlib.sha256(uid.encode("utf-8", "replace")).hexdigest()[:16]


def _is_whole(note: Path, match: Match) -> bool:
    """Whether the series was fetched as it is now: a PACS may have received more of it since."""
    return note.is_file() and note.read_text(encoding="utf-8") == _label(match)


def _label(match: Match) -> str:
    return f"{match.study_uid}\n{match.series_uid}\n{match.instances}\n"
