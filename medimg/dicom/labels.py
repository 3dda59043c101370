"""What the members of a zip archive are called here: safe, unique, and in a fixed order."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence

MAX_LABEL_BYTES = 1024
"""Longer names become "long-name", so that every path stays one that the system can be asked about."""

UTF8_FLAG = 0x800
"""General purpose bit 11: the name is UTF-8."""


def labels(infos: Sequence[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Label -> member: relative, without "..", each once, and none the folder of another."""
    found: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for info in infos:
        parts = _name(info).replace("\\", "/").split("/")
        label = "/".join(_safe(part) for part in parts if part not in ("", ".")) or "unnamed"
        label = label if len(label.encode()) <= MAX_LABEL_BYTES else "long-name"
        plain, number = label, 1
        while label in found or label in folders or any(parent in found for parent in _parents(label)):
            number += 1
            head, slash, rest = plain.partition("/")
            label = f"{head}~{number}{slash}{rest}"
        found[label] = info
        folders.update(_parents(label))
    return found


def _parents(label: str) -> list[str]:
    parts = label.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _safe(part: str) -> str:
    """One part of a name as a label: ".." is no way up, and nothing breaks a line."""
    printable = "".join(letter if letter.isprintable() else "_" for letter in part)
    return printable.replace("..", "__") if set(part) == {"."} else printable


def _name(info: zipfile.ZipInfo) -> str:
    """The member's name; without the flag for UTF-8, UTF-8 is tried before code page 437 (macOS sets no flag)."""
    if info.flag_bits & UTF8_FLAG:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def walked(label: str) -> list[tuple[bool, str]]:
    """Sorts labels by name, the files of a folder before its folders."""
    *folders, name = label.split("/")
    return [*((True, folder) for folder in folders), (False, name)]
