"""A choice of scans that was made: what was taken, what was not and why; and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medimg import files
from medimg.errors import InputError, UsageError
from medimg.pipeline import Pipeline
from medimg.stages.candidates import SELECTION_FILE, SELECTION_SCHEMA, Candidate

NAMED = 5
"""Scans a message names before it counts the rest."""


Left = list[dict[str, Any]]
"""Entries of `not_chosen`."""


@dataclass(frozen=True)
class Selection:
    """The pipeline, the candidate chosen for each role, and why the others were not.

    instead: makes the choice again without the chosen scan, given the error that it was refused with; raises that
    error when there is nothing to take in its place.
    """

    pipeline: Pipeline
    chosen: dict[str, Candidate]
    not_chosen: list[dict[str, Any]] = field(default_factory=list)
    why: str = ""
    instead: Callable[[InputError], Selection] | None = None

    def to_dict(self) -> dict[str, Any]:
        """For provenance and selection.json."""
        return {
            "why": self.why,
            "chosen": [{"role": role, **candidate.summary()} for role, candidate in self.chosen.items()],
            "not_chosen": self.not_chosen,
        }


def write_selection(selection: Selection, folder: Path) -> Path:
    """Write folder/selection.json (paths relative to it), which the next stages take; return its path."""
    pipeline = {"name": selection.pipeline.name, "path": str(selection.pipeline.folder)}
    document = {"schema": SELECTION_SCHEMA, "pipeline": pipeline, **selection.to_dict()}
    for entry in [pipeline, *document["chosen"], *document["not_chosen"]]:
        if Path(entry["path"]) == folder.resolve():
            raise UsageError(f"-o {folder} is the folder of the scan itself; name another one for the selection")
        entry["path"] = files.relative(Path(entry["path"]), folder)
    target = folder / SELECTION_FILE
    files.write_json(target, document)
    return target


def named(candidate: Candidate) -> str:
    """What a message calls a scan."""
    if candidate.headers is None:
        return candidate.path.name
    return f"{candidate.path.name}: {candidate.description or candidate.series_uid}"


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are: an export can hold hundreds."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def not_chosen_entry(candidate: Candidate, why: str) -> dict[str, Any]:
    """An entry of `not_chosen`."""
    return {**candidate.summary(), "why": why}
