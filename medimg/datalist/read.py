"""Read a MONAI/decathlon datalist: JSON with sections of cases, paths relative to the folder that holds it.

    {"modality": {"0": "t1c", ...}, "training": [{"image": PATH or [PATH, ...], "label": ..., "fold": 0}, ...]}

`label` is a label map's path (segmentation), a number (classification), or, where the case has `box`, a number a box.
`box` is [[x, y, z, w, h, d], ...], centre and sides in LPS mm: MONAI's lung nodule datalists. `id` and `patient` are
medimg's own additions, which MONAI passes through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.errors import UsageError
from medimg.study import MR_ROLE_ALIASES
from medimg.volumes import stem

SECTIONS = ("training", "validation", "testing", "test")
"""Of a datalist, in the order they are read."""

CHANNEL = re.compile(r"_\d{4}$")
"""nnU-Net's channel number at the end of a file name."""

ROLE = re.compile(r"[_-](?:" + "|".join(map(re.escape, MR_ROLE_ALIASES)) + r")$", re.IGNORECASE)
"""A role at the end of a file name, as BraTS writes it."""


@dataclass(frozen=True)
class DatalistCase:
    """One case. images: a scan's file or folder for each channel, with the role the datalist's `modality` gives it.

    label_map: path. label: number of the class. boxes: (N, 6) centre and sides in LPS mm. Each None where not given.
    """

    id: str
    images: tuple[Path, ...]
    roles: tuple[str | None, ...]
    label_map: Path | None = None
    label: int | None = None
    boxes: NDArray[np.float64] | None = None
    excluded: NDArray[np.float64] | None = None
    fold: int | None = None
    patient: str = ""
    section: str = ""
    entry: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def missing(self) -> tuple[Path, ...]:
        """Files of the case that are not there."""
        paths = [*self.images, *([self.label_map] if self.label_map else [])]
        return tuple(path for path in paths if not path.exists())


def read_datalist(path: Path, fold: int | None = None, sections: Sequence[str] = SECTIONS) -> list[DatalistCase]:
    """The cases of a datalist; with `fold` only those of that fold. Files need not be there: see `missing`.

    Raises UsageError when the file is no datalist, a case stands twice, or nothing is left (an empty fold).
    """
    cases = cases_of(_document(path), path, path.parent, sections)
    if fold is not None:
        folds = sorted({case.fold for case in cases if case.fold is not None})
        cases = [case for case in cases if case.fold == fold]
        if not cases:
            known = ", ".join(map(str, folds)) or "none"
            raise UsageError(f"{path}: fold {fold} is empty; the folds of its cases are {known}")
    if not cases:
        raise UsageError(f"{path} holds no cases; a datalist has a section {' or '.join(SECTIONS)}")
    return cases


def cases_of(
    document: dict[str, Any], path: Path, base: Path, sections: Sequence[str] = SECTIONS
) -> list[DatalistCase]:
    """The cases of a datalist's content; path: what messages call it. base: what its own paths are relative to.

    Raises UsageError as `read_datalist` does, but not when there are none.
    """
    roles = _roles(path, document.get("modality", {}))
    cases = [
        _case(path, base, section, number, entry, roles)
        for section in sections
        for number, entry in enumerate(_entries(path, section, document.get(section, [])))
    ]
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise UsageError(f'{path}: case {case.id} stands there twice; give each its own "id"')
        seen.add(case.id)
    return cases


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"cannot read the datalist {path}: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} is no datalist: it must be an object with a section {' or '.join(SECTIONS)}")
    return document


def _roles(path: Path, modality: Any) -> dict[int, str]:
    if not isinstance(modality, dict) or not all(str(key).isdigit() for key in modality):
        raise UsageError(f'{path}: modality must map channel numbers to names, as {{"0": "t1c"}}')
    return {int(key): MR_ROLE_ALIASES.get(str(name).lower(), "") for key, name in modality.items()}


def _entries(path: Path, section: str, entries: Any) -> list[dict[str, Any]]:
    if not isinstance(entries, list):
        raise UsageError(f"{path}: {section} must be a list of cases")
    # the decathlon's own test section is a list of plain paths
    return [entry if isinstance(entry, dict) else {"image": entry} for entry in entries]


def _case(
    path: Path, base: Path, section: str, number: int, entry: dict[str, Any], roles: dict[int, str]
) -> DatalistCase:
    where = f"{path}: {section}[{number}]"
    images = _paths(where, base, entry.get("image"))
    name = str(entry.get("id") or case_name(images))
    if Path(name).name != name:
        raise UsageError(f"{where}: id {name!r} cannot be the name of a folder")
    fold = entry.get("fold")
    if fold is not None and (isinstance(fold, bool) or not isinstance(fold, int)):
        raise UsageError(f"{where}: fold {fold!r} is not a whole number")
    label = entry.get("label")
    boxes = _boxes(where, "box", entry.get("box"))
    is_class = boxes is None and isinstance(label, int)
    if not (label is None or isinstance(label, str) or is_class or boxes is not None):
        raise UsageError(f"{where}: label is a path, a number, or with boxes a number a box; not {label!r}")
    if boxes is not None and label is not None and (not isinstance(label, list) or len(label) != len(boxes)):
        raise UsageError(f"{where}: {len(boxes)} boxes need as many labels")
    return DatalistCase(
        id=name,
        images=images,
        roles=tuple(roles.get(channel) or None for channel in range(len(images))),
        label_map=base / label if isinstance(label, str) else None,
        label=label if is_class else None,
        boxes=boxes,
        excluded=_boxes(where, "excluded_box", entry.get("excluded_box")),
        fold=fold,
        patient=str(entry.get("patient") or name),
        section=section,
        entry=entry,
    )


def case_name(images: Sequence[Path]) -> str:
    """The name of a case by its first image: without suffix, channel number and role; a folder's own name."""
    first = images[0]
    return ROLE.sub("", CHANNEL.sub("", stem(first) if first.suffix else first.name))


def _paths(where: str, base: Path, value: Any) -> tuple[Path, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(text, str) and text for text in values):
        raise UsageError(f"{where}: image must be a path or a list of paths, not {value!r}")
    return tuple(base / text for text in values)


def _boxes(where: str, key: str, value: Any) -> NDArray[np.float64] | None:
    if value is None:
        return None
    try:
        boxes = np.array(value, dtype=np.float64).reshape(-1, 6)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: {key} must be a list of [x, y, z, w, h, d] in LPS mm") from error
    if not np.isfinite(boxes).all() or (key == "box" and (boxes[:, 3:] <= 0).any()):
        raise UsageError(f"{where}: {key} holds NaN, infinities or sides that are not above 0")
    return boxes
