"""Build a datalist from a folder laid out as LUNA16, LIDC-IDRI, BraTS or nnU-Net, with folds by patient."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medimg.datalist.folds import assign_folds
from medimg.datalist.layouts import Layout, brats, luna16_folder, nnunet
from medimg.datalist.lidc import lidc_folder
from medimg.errors import UsageError

READERS = {"nnunet": nnunet, "luna16": luna16_folder, "lidc": lidc_folder, "brats": brats}
"""Layout -> its reader, in the order they are tried: the more particular first."""


@dataclass(frozen=True)
class Built:
    """The datalist, what kind of folder it was made from, and what in it became no case, with the reason."""

    document: dict[str, Any]
    kind: str
    left_out: tuple[str, ...]


def build_datalist(root: Path, base: Path, folds: int = 0, seed: int = 0, layout: str | None = None) -> Built:
    """A MONAI/decathlon datalist of the cases under `root`, its paths relative to `base`, where it will lie.

    folds: how many, drawn by `seed`; 0 for none. layout: one of READERS, the first that fits when None.
    Raises UsageError when nothing fits, a case stands twice, or there are fewer patients than folds.
    """
    readers = [READERS[layout]] if layout else list(READERS.values())
    found = next((read for reader in readers if (read := reader(root, base)) is not None), None)
    if found is None or not (found.training or found.testing):
        kinds = layout or "LUNA16, LIDC-IDRI, BraTS or nnU-Net"
        raise UsageError(f"{root} is not laid out as {kinds}; see docs/datalist.md, or write the datalist yourself")
    twice = [name for name, count in Counter(e["id"] for e in (*found.training, *found.testing)).items() if count > 1]
    if twice:
        raise UsageError(f"{root} holds case {twice[0]} twice; leave one of them")
    if folds:
        names, patients = ([entry[key] for entry in found.training] for key in ("id", "patient"))
        drawn = assign_folds(names, patients, folds, seed)
        for entry, fold in zip(found.training, drawn, strict=True):
            entry["fold"] = fold
    return Built(_document(root, found, folds, seed), found.kind, tuple(found.left_out))


def _document(root: Path, found: Layout, folds: int, seed: int) -> dict[str, Any]:
    return {
        "name": root.resolve().name,
        "description": f"{found.kind} folder, made by medimg datalist",
        **({"folds": folds, "seed": seed} if folds else {}),
        "modality": found.modality,
        "labels": found.labels,
        "numTraining": len(found.training),
        "numTest": len(found.testing),
        "training": found.training,
        **({"testing": found.testing} if found.testing else {}),
    }
