"""Whole answers of a PACS onto the disk, series by series; what is there already is not fetched again."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from medimg import files
from medimg.batch.lock import exclusive
from medimg.pacs.query import Match, Pacs, Query, Transfer
from medimg.pacs.uids import file_name
from medimg.progress import Progress, silent

WHOLE = ".medimg-whole"
"""A file that says that every instance of its folder's series came, and how many the server had then."""

GIVE_UP = 3
"""Series that fail one after another before the others are not tried: the server is away."""

LOCK_FILE = ".medimg-get.lock"


@dataclass
class Fetched:
    """series: how many match. there: how many of them were there already. transfer: of the others."""

    series: int = 0
    there: int = 0
    transfer: Transfer = field(default_factory=lambda: Transfer([], []))


def fetch(pacs: Pacs, query: Query, folder: Path, progress: Progress = silent) -> Fetched:
    """Every series that matches, as `folder`/STUDY/SERIES/INSTANCE.dcm.

    A series that did not come whole is a failure and leaves nothing there: it would pass for a shorter scan. Raises
    NetworkError when the server cannot be asked, OutputError when the disk takes nothing, UsageError when another
    process fetches into the folder.
    """
    result = Fetched()
    with exclusive(files.output_folder(folder) / LOCK_FILE):
        for left in folder.glob(f"{files.TEMPORARY_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        matches = list(pacs.find(query))
        in_a_row = 0
        for match in matches:
            place = folder / file_name(match.study_uid) / file_name(match.series_uid)
            result.series += 1
            if _is_whole(place, match):
                result.there += 1
            elif in_a_row == GIVE_UP:
                result.transfer.failed.append((match.series_uid, f"not tried: {GIVE_UP} series before it failed"))
            else:
                got = _fetch_series(pacs, match, place, folder, progress)
                in_a_row = in_a_row + 1 if got.failed else 0
                result.transfer.add(got)
            progress("series", result.series, len(matches))
    return result


def _fetch_series(pacs: Pacs, match: Match, place: Path, folder: Path, progress: Progress) -> Transfer:
    """Into a folder aside first, which takes the series' place once it is whole."""
    with tempfile.TemporaryDirectory(prefix=files.TEMPORARY_PREFIX, dir=folder) as aside:
        coming = files.output_folder(Path(aside) / "series")
        got = pacs.get(match, coming, progress)
        if got.failed or not got.done:
            return Transfer([], got.failed or [(match.series_uid, "no instance came")])
        files.write_text(coming / WHOLE, _label(match))
        files.output_folder(place.parent)
        if place.exists():
            place.rename(Path(aside) / "earlier")
        coming.rename(place)
    return Transfer([place / path.name for path in got.done], [])


def _is_whole(place: Path, match: Match) -> bool:
    """Whether the series was fetched as it is now: a PACS may have received more of it since."""
    note = place / WHOLE
    return note.is_file() and note.read_text(encoding="utf-8") == _label(match)


def _label(match: Match) -> str:
    return f"{match.study_uid}\n{match.series_uid}\n{match.instances}\n"
