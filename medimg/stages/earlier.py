"""What an earlier `medimg preprocess` left in an output folder: not read as input, and replaced by the next run."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from medimg.errors import UsageError
from medimg.results import MANIFEST_SCHEMA
from medimg.stages.candidates import MANIFEST_FILE, read_document
from medimg.stages.identify import read_sidecar
from medimg.stages.save import SIDECAR_SCHEMA
from medimg.volumes import stem


def earlier_results(output: Path) -> list[Path]:
    """The volumes, masks and sidecars that a manifest in `output` lists, and the manifest; [] without one.

    A volume counts as ours only with the sidecar that was written beside it; nothing outside `output` is ever named.
    """
    groups = _groups(output)
    return [] if groups is None else [*(path for group in groups for path in group), output / MANIFEST_FILE]


def remove_earlier(output: Path, sources: Collection[Path] = ()) -> None:
    """Remove `earlier_results`, the manifest last; but no volume that is a source of the new run."""
    groups = _groups(output)
    if groups is None:
        return
    kept = {path.resolve() for path in sources}
    gone = [path for group in groups if kept.isdisjoint(map(Path.resolve, group)) for path in group]
    for path in [*gone, output / MANIFEST_FILE]:
        path.unlink(missing_ok=True)


def _groups(output: Path) -> list[list[Path]] | None:
    """What belongs to each volume; None where no manifest of ours lies."""
    try:
        series = read_document(output / MANIFEST_FILE, MANIFEST_SCHEMA)["series"]
        return [_files_of(volume, output) for entry in series for volume in entry["volumes"]]
    except (UsageError, KeyError, TypeError):
        return None


def _files_of(volume: dict[str, Any], output: Path) -> list[Path]:
    """The volume, its mask and its sidecar, as far as they are ours."""
    path = output / Path(volume["path"]).name  # wherever it points, ours lie beside their manifest
    sidecar = read_sidecar(path)
    if sidecar.get("schema") != SIDECAR_SCHEMA or sidecar.get("path") != path.name:
        return []
    mask = sidecar.get("made_up_mask")
    masks = [output / Path(mask).name] if isinstance(mask, str) and mask == f"{stem(path)}_made_up_mask.nii.gz" else []
    return [path, *masks, path.with_name(f"{stem(path)}.json")]
