"""MetaImage headers (.mha, .mhd): https://itk.org/Wiki/ITK/MetaIO/Documentation."""

from __future__ import annotations

import re
from pathlib import Path

from medimg.errors import InputError, Reason
from medimg.volumes.detached import TextHeader, data_files, finite_numbers, head_of, mm_per, no_geometry

DATA_FIELD = "ElementDataFile"
"""Ends the header."""

LINE = re.compile(r"[ \t]*(\w+)[ \t]*[=:][ \t]*(.*?)[ \t\r]*")

LOCAL = ("LOCAL", "Local", "local")
"""The voxels follow in the same file."""

MATRIX = ("TransformMatrix", "Rotation", "Orientation")
OFFSET = ("Offset", "Position", "Origin")
SPACING = ("ElementSpacing",)
"""Fields that say where the voxels lie, each with the names MetaIO knows it by; SimpleITK makes up what is missing."""

INTENSITY = {"ElementToIntensityFunctionSlope": 1.0, "ElementToIntensityFunctionOffset": 0.0}
"""A scale of the voxels, which SimpleITK leaves out, and whose order programs do not agree on; with what changes
nothing."""


def read_metaimage_header(path: Path) -> TextHeader:
    """Raises InputError: not_a_volume_file, no_geometry, bad_affine, unsupported_kind, unreadable, truncated."""
    head = head_of(path)
    fields, end = _fields(path, head)
    value = fields[DATA_FIELD]
    if value in LOCAL:
        parts: tuple[Path, ...] = ()
        stored = path.stat().st_size - end
    else:
        parts = data_files(path, value, head[end:])
        stored = sum(part.stat().st_size for part in parts)
    _check_geometry(path, fields)
    _check_values(path, fields, attached=not parts)
    packed = "zlib" if fields.get("CompressedData", "").lower().startswith(("t", "1")) else None
    claimed = finite_numbers(fields.get("CompressedDataSize", ""))
    if packed and claimed and claimed[0] > stored:
        message = f"{path}: the header claims {claimed[0]:.0f} packed bytes, the file holds {stored}; copy it again"
        raise InputError(Reason.TRUNCATED, message, [path])
    skipped = finite_numbers(fields.get("HeaderSize", "0"))
    start = int(max(*skipped, 0)) if parts else end
    return TextHeader(parts, start, stored, packed, (mm_per(path, fields.get("DistanceUnits", "")),) * 3)


def _fields(path: Path, head: str) -> tuple[dict[str, str], int]:
    """Name -> value of every line, and where the last one ends.

    A header must be one that MetaIO cannot read otherwise: one field a line, none of them twice.
    """
    end = head.find("\n", head.find(DATA_FIELD)) + 1 or len(head)
    matches = [LINE.fullmatch(line) for line in head[:end].split("\n") if line.strip()]
    fields = {match[1]: match[2] for match in matches if match is not None}
    sound = len(fields) == len(matches) and head.count(DATA_FIELD) == 1
    if not sound or not fields.get(DATA_FIELD) or not fields.get("NDims", "").isdigit():
        message = f"{path} is not a volume file of the kind its name says"
        raise InputError(Reason.NOT_A_VOLUME_FILE, message, [path])
    return fields, end


def _check_geometry(path: Path, fields: dict[str, str]) -> None:
    """Every field of place and direction is there, once, and of the length that goes with NDims."""
    axes = int(fields["NDims"])
    for names, count in ((MATRIX, axes * axes), (OFFSET, axes), (SPACING, axes)):
        given = [finite_numbers(fields[name]) for name in names if name in fields]
        if not given:
            raise no_geometry(path, " or ".join(names))
        if len(given[0]) != count or any(other != given[0] for other in given[1:]):
            message = f"{path}: {' and '.join(name for name in names if name in fields)} must be {count} numbers"
            raise InputError(Reason.BAD_AFFINE, f"{message}, the same wherever it is said; repair the header", [path])


def _check_values(path: Path, fields: dict[str, str], attached: bool) -> None:
    """Nothing that SimpleITK would pass over changes the voxels."""
    for name, nothing in INTENSITY.items():
        if name in fields and finite_numbers(fields[name]) != [nothing]:
            message = f"{path}: {name} = {fields[name]} scales the voxels in a way programs do not agree on"
            raise InputError(Reason.UNSUPPORTED_KIND, f"{message}; save the scaled values", [path])
    if attached and finite_numbers(fields.get("HeaderSize", "0")) not in ([0.0], [-1.0]):
        message = f"{path}: HeaderSize contradicts voxels that follow the header; repair the header"
        raise InputError(Reason.UNSUPPORTED_KIND, message, [path])
