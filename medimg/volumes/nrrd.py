"""NRRD headers (.nrrd, .nhdr): http://teem.sourceforge.net/nrrd/format.html."""

from __future__ import annotations

import re
from pathlib import Path

from medimg.errors import InputError, Reason
from medimg.volumes.detached import TextHeader, data_files, finite_numbers, head_of, mm_per, no_geometry

BLANK_LINE = re.compile(r"\r?\n\r?\n")
"""Ends the header where the voxels follow in the same file."""

LONE_RETURN = re.compile(r"\r(?!\n)")
"""Some programs end a line there, some do not."""

DATA_FIELD = "data file"

SPELLINGS = {"datafile": DATA_FIELD, "spacedirections": "space directions", "spaceorigin": "space origin",
             "spaceunits": "space units"}  # fmt: skip
"""Fields that may be written without their blank; upper and lower case are alike."""

ANATOMICAL = {
    "right-anterior-superior", "ras", "left-anterior-superior", "las", "left-posterior-superior", "lps",
    "left-posterior-superior-time", "lpst",
}  # fmt: skip
"""Spaces that are those of the patient; "scanner-xyz" and "3D-right-handed" say nothing of how the patient lay."""

MISREAD = {"right-anterior-superior-time", "rast", "left-anterior-superior-time", "last"}
"""SimpleITK 2.5 takes these for left-posterior-superior."""

SKIPS = ("line skip", "lineskip", "byte skip", "byteskip")
"""What lies before the voxels cannot be checked."""

VECTOR = re.compile(r"\(([^()]*)\)|none", re.IGNORECASE)

UNIT = re.compile(r'"([^"]*)"')

PACKED = {"raw": None, "gzip": "zlib", "gz": "zlib"}
"""Encoding -> `TextHeader.packed`; others keep their name."""


def read_nrrd_header(path: Path) -> TextHeader:
    """Raises InputError: not_a_volume_file, no_geometry, unsupported_kind, unreadable, truncated."""
    head = head_of(path)
    if not head.startswith("NRRD"):
        message = f"{path} is not a volume file of the kind its name says"
        raise InputError(Reason.NOT_A_VOLUME_FILE, message, [path])
    blank = BLANK_LINE.search(head)
    text, end = (head[: blank.start()], blank.end()) if blank else (head, len(head))
    if LONE_RETURN.search(text):
        raise InputError(Reason.NOT_A_VOLUME_FILE, f"{path}: the lines of its header end in \\r; repair it", [path])
    fields, following = _fields(path, text)
    if DATA_FIELD in fields:
        parts = data_files(path, fields[DATA_FIELD], following)
        stored = sum(part.stat().st_size for part in parts)
    else:
        parts = ()
        stored = path.stat().st_size - end
    if any(fields.get(name, "0") != "0" for name in SKIPS):
        message = f"{path}: it skips lines or bytes before its voxels; save it without"
        raise InputError(Reason.UNSUPPORTED_KIND, message, [path])
    encoding = fields.get("encoding", "").lower()
    return TextHeader(parts, 0 if parts else end, stored, PACKED.get(encoding, encoding), _to_mm(path, fields))


def _fields(path: Path, text: str) -> tuple[dict[str, str], str]:
    """Field in lower case -> value, and the lines after the one that names the voxels. No field may come twice."""
    fields: dict[str, str] = {}
    lines = re.split(r"\r?\n", text)[1:]
    for number, line in enumerate(lines):
        name, separator, value = line.partition(":")
        if line.startswith("#") or not separator or value.startswith("="):  # comments, keys of the user's own
            continue
        known = name.strip().lower()
        known = SPELLINGS.get(known, known)
        if known in fields:
            raise InputError(Reason.NOT_A_VOLUME_FILE, f"{path}: the header says {known!r} twice; repair it", [path])
        fields[known] = value.strip()
        if known == DATA_FIELD and value.strip().startswith("LIST"):
            return fields, "\n".join(lines[number + 1 :])
    return fields, ""


def _to_mm(path: Path, fields: dict[str, str]) -> tuple[float, float, float]:
    """mm per unit along the axes of space, of a header that places its voxels in the patient; no_geometry otherwise."""
    space = fields.get("space", "").lower()
    if space in MISREAD:
        message = f"{path}: space {space} is not read; save it as left-posterior-superior-time, or 3-D"
        raise InputError(Reason.UNSUPPORTED_KIND, message, [path])
    if space not in ANATOMICAL:
        raise no_geometry(path, "anatomical space (such as left-posterior-superior)")
    vectors = [match[1] for match in VECTOR.finditer(fields.get("space directions", ""))]
    if sum(vector is not None and len(finite_numbers(vector.replace(",", " "))) >= 3 for vector in vectors) < 3:
        raise no_geometry(path, "space directions of three axes")
    origin = fields.get("space origin", "").strip("()").replace(",", " ")
    if len(finite_numbers(origin)) < 3:
        raise no_geometry(path, "space origin")
    x, y, z = ([mm_per(path, unit) for unit in UNIT.findall(fields.get("space units", ""))] + [1.0] * 3)[:3]
    return (x, y, z)
