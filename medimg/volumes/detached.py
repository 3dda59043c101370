"""Headers of text (MetaImage, NRRD): how far they go, and which files of their own folder they name as voxels."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from medimg import geometry
from medimg.errors import InputError, Reason

HEADER_BYTES = 1 << 20
"""Enough of a file to hold any MetaImage or NRRD header, a list of thousands of data files included."""

DATA_FILE_SERIES = re.compile(r"(.*%0?\d{0,2}d.*?)[ \t]+(\d+)[ \t]+(\d+)(?:[ \t]+(-?[1-9]\d*))?(?:[ \t]+\d+)?")
"""Numbered voxel files: printf format, first, last, step (1 when left out); NRRD may add a dimension."""

PACKED_CHUNK = 1 << 16
"""Bytes inflated at a time, to at most a thousand times as many."""

MAX_DATA_FILES = 1 << 16
"""More than any scan has slices."""

MM_PER_UNIT = {"": 1.0, "?": 1.0, "mm": 1.0, "cm": 10.0, "m": 1e3, "um": 1e-3, "\xb5m": 1e-3, "\u03bcm": 1e-3}
"""Lengths that headers of text count in; what is not said counts as mm, as in a NIfTI file."""


@dataclass(frozen=True)
class TextHeader:
    """What a header of text says beyond what SimpleITK reports.

    data_files: those that hold the voxels; () when they follow in the same file. start: where the voxels begin in
    each file that holds them. stored_bytes: how many of the voxels' bytes (packed or not) there are. packed: None as
    they are, else the name of the packing. to_mm: the axes of space, mm per unit of the header's lengths.
    """

    data_files: tuple[Path, ...]
    start: int
    stored_bytes: int
    packed: str | None
    to_mm: tuple[float, float, float]

    @property
    def world_to_mm(self) -> geometry.Affine:
        """(4, 4): world in the header's lengths -> world in mm."""
        return np.diag([*self.to_mm, 1.0])


def check_packed(path: Path, header: TextHeader, wanted: int) -> None:
    """Raise InputError truncated unless zlib streams (gzip too) give that many bytes and pass their checksums.

    MetaIO says so on stderr at most, and goes on with what it has.
    """
    total, sound = 0, True
    for part in header.data_files or (path,):
        inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        with part.open("rb") as stream:
            stream.seek(header.start)
            while sound and not inflate.eof and (chunk := stream.read(PACKED_CHUNK)):
                try:
                    total += len(inflate.decompress(chunk))
                except zlib.error:
                    sound = False
        sound = sound and inflate.eof
    if not sound or total < wanted:
        message = f"{path}: its packed voxels end too early or are damaged; copy it again"
        raise InputError(Reason.TRUNCATED, message, [path])


def head_of(path: Path) -> str:
    """The first bytes of a file, one character each."""
    with path.open("rb") as stream:
        return stream.read(HEADER_BYTES).decode("latin-1")


def data_files(header: Path, value: str, following: str) -> tuple[Path, ...]:
    """The voxel files that a header's field names: one, a numbered series, or the lines that follow.

    Raises InputError: unreadable for a name that leads out of the header's own folder, truncated for a missing file.
    """
    if value.startswith("LIST"):
        names: Sequence[str] = [line.strip() for line in following.split("\n") if line.strip()][:MAX_DATA_FILES]
    elif "%" in value:
        names = _numbered(value)
    else:
        names = [value]
    for name in names or [""]:
        if not _stays_inside(name):
            message = f"{header}: its header names a data file outside its own folder, which is not opened"
            raise InputError(Reason.UNREADABLE, f"{message}; put the voxels beside the header", [header])
    found = tuple(header.parent / _as_stored(name) for name in names)
    if missing := [part for part in found if not part.is_file()]:
        message = f"{header}: its data file {missing[0]} is missing; copy it beside the header"
        raise InputError(Reason.TRUNCATED, message, [header])
    return found


def no_geometry(path: Path, lacks: str) -> InputError:
    """The refusal of a header that does not say where its voxels lie."""
    return InputError(Reason.NO_GEOMETRY, f"{path}: the header holds no {lacks}; set it, or convert again", [path])


def mm_per(path: Path, unit: str) -> float:
    """Raises InputError no_geometry for a length nobody knows."""
    if unit not in MM_PER_UNIT:
        raise InputError(Reason.NO_GEOMETRY, f"{path}: its lengths count in {unit!r}; give them in mm", [path])
    return MM_PER_UNIT[unit]


def finite_numbers(text: str) -> list[float]:
    """The numbers of a field, separated by blanks; [] when one is none."""
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        return []
    return values if all(map(math.isfinite, values)) else []


def _as_stored(name: str) -> str:
    """Headers were read as bytes; file names are UTF-8 on most systems."""
    return name.encode("latin-1").decode("utf-8", "surrogateescape")


def _stays_inside(name: str) -> bool:
    """A plain name, in a folder below the header's perhaps; by the rules of either kind of system."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    leaves = posix.is_absolute() or windows.drive or windows.root or ".." in posix.parts or ".." in windows.parts
    return not leaves and bool(posix.name) and not any(ord(letter) < 32 for letter in name)


def _numbered(value: str) -> list[str]:
    """[] when the field is no series."""
    series = DATA_FILE_SERIES.fullmatch(value)
    if series is None or series[1].count("%") > 1:
        return []
    first, last, step = int(series[2]), int(series[3]), int(series[4] or 1)
    numbers = range(first, last + (1 if step > 0 else -1), step)[:MAX_DATA_FILES]
    return [re.sub(r"%(0?\d*)d", lambda form, n=n: format(n, form[1] + "d"), series[1]) for n in numbers]
