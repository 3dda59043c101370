"""Folders as BraTS, nnU-Net and LUNA16 lay them out, as the cases of a datalist."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medimg import files
from medimg.datalist import luna16
from medimg.errors import UsageError
from medimg.study import MR_ROLE_ALIASES
from medimg.volumes import is_volume_file, stem

Entry = dict[str, Any]

ROLES = ("t1c", "t1n", "t2w", "t2f")
"""Channel order of MONAI's brats_mri_segmentation bundle (T1c, T1, T2, FLAIR), and of medimg's."""

BRATS_LABELS = {
    "0": "background",
    "1": "necrotic core",
    "2": "oedema",
    "3": "enhancing tumour",
    "4": "enhancing tumour",
}

BRATS_SUFFIX = re.compile(r"[_-]([A-Za-z0-9]+)$")

TIMEPOINT = re.compile(r"(BraTS-[A-Z]+-\d+)-\d+", re.IGNORECASE)
"""BraTS 2023 and later: patient, then time point."""

RELEASE = re.compile(r"Brats1[78]_(.+)_\d+", re.IGNORECASE)
"""BraTS 2017 and 2018: release, patient, session. A patient may be in both releases."""

CHANNEL = re.compile(r"(.+)_(\d{4})")
"""nnU-Net: case, channel."""


@dataclass
class Layout:
    """What a folder holds: cases for training and for testing, the channels, the labels, and what was left out."""

    kind: str
    training: list[Entry]
    testing: list[Entry] = field(default_factory=list)
    modality: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def brats(root: Path, base: Path) -> Layout | None:
    """Case folders with the four contrasts and `seg`, old names or new; None when there are none.

    A case without seg goes to testing; a folder with some of the contrasts is left out and named.
    """
    layout = Layout("BraTS", [], [], {str(i): role for i, role in enumerate(ROLES)}, dict(BRATS_LABELS))
    for folder in [root, *sorted(part for part in root.rglob("*") if part.is_dir())]:
        found = _by_role(folder)
        if not found.keys() & set(ROLES):
            continue
        if missing := [role for role in ROLES if role not in found]:
            layout.left_out.append(f"{folder}: no {', '.join(missing)}")
            continue
        entry = {
            "id": folder.name,
            "patient": brats_patient(folder.name),
            "image": [files.relative(found[role], base) for role in ROLES],
        }
        if "seg" in found:
            layout.training.append({**entry, "label": files.relative(found["seg"], base)})
        else:
            layout.testing.append(entry)
    return layout if layout.training or layout.testing else None


def brats_patient(case: str) -> str:
    """The patient of a BraTS case: time points and the releases of 2017 and 2018 share it."""
    for pattern in (TIMEPOINT, RELEASE):
        if match := pattern.fullmatch(case):
            return match[1]
    return case


def nnunet(root: Path, base: Path) -> Layout | None:
    """imagesTr/CASE_0000..., labelsTr/CASE, imagesTs and dataset.json; None when there is no imagesTr."""
    if not (root / "imagesTr").is_dir():
        return None
    description = _json(root / "dataset.json")
    channels = description.get("channel_names") or description.get("modality") or {}
    labels = {str(value): str(name) for name, value in description.get("labels", {}).items() if isinstance(value, int)}
    layout = Layout("nnU-Net", [], [], {str(key): str(name) for key, name in channels.items()}, labels)
    truths = {stem(path): path for path in _volume_files(root / "labelsTr")}
    for case, images in _by_case(root / "imagesTr").items():
        entry = {"id": case, "patient": case, "image": _one_or_many(images, base)}
        if case in truths:
            layout.training.append({**entry, "label": files.relative(truths[case], base)})
        else:
            layout.left_out.append(f"{root / 'imagesTr'}: case {case} has no label map in labelsTr")
    for case, images in _by_case(root / "imagesTs").items():
        layout.testing.append({"id": case, "patient": case, "image": _one_or_many(images, base)})
    return layout


def luna16_folder(root: Path, base: Path) -> Layout | None:
    """annotations.csv, and SERIESUID.mhd or another volume file in any subfolder; None without annotations.csv.

    Every scan that is there becomes a case, with nodules or without. Boxes are cubes in LPS mm.
    """
    if not (root / luna16.ANNOTATIONS).is_file():
        return None
    nodules = luna16.read_annotations(root / luna16.ANNOTATIONS)
    excluded = root / luna16.EXCLUDED
    marks = luna16.read_annotations(excluded) if excluded.is_file() else None
    layout = Layout("LUNA16", [], modality={"0": "CT"}, labels={"0": "nodule"})
    for path in sorted(path for path in root.rglob("*") if path.is_file() and is_volume_file(path)):
        series = stem(path)
        boxes = _cubes(nodules, series)
        entry: Entry = {"id": series, "patient": series, "image": files.relative(path, base)}
        entry |= {"box": boxes, "label": [0] * len(boxes)}
        if marks is not None:
            entry["excluded_box"] = _cubes(marks, series)
        layout.training.append(entry)
    there = {entry["id"] for entry in layout.training}
    lost = sorted(set(nodules.series) - there)
    layout.left_out += [f"{root / luna16.ANNOTATIONS}: no scan of series {series}" for series in lost]
    return layout if layout.training else None


def _cubes(found: luna16.Annotations, series: str) -> list[list[float]]:
    """[x, y, z, d, d, d] of each finding of a series."""
    rows = [index for index, name in enumerate(found.series) if name == series]
    return [[*found.xyz[row].tolist(), *[float(found.diameter[row])] * 3] for row in rows]


def _by_role(folder: Path) -> dict[str, Path]:
    """Role, or "seg", -> file of a case folder."""
    found: dict[str, Path] = {}
    for path in _volume_files(folder):
        match = BRATS_SUFFIX.search(stem(path))
        name = match[1].lower() if match else ""
        if role := ("seg" if name == "seg" else MR_ROLE_ALIASES.get(name)):
            if role in found:
                raise UsageError(f"{found[role]} and {path} are both {role} of one case; leave one of them")
            found[role] = path
    return found


def _by_case(folder: Path) -> dict[str, list[Path]]:
    """nnU-Net's case -> its files in the order of their channels."""
    found: dict[str, list[Path]] = {}
    for path in _volume_files(folder):
        match = CHANNEL.fullmatch(stem(path))
        found.setdefault(match[1] if match else stem(path), []).append(path)
    return found


def _one_or_many(images: list[Path], base: Path) -> str | list[str]:
    names = [files.relative(path, base) for path in images]
    return names[0] if len(names) == 1 else names


def _volume_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*")) if path.is_file() and is_volume_file(path)]


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    return document if isinstance(document, dict) else {}
