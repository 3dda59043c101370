"""The record a run leaves in its bundle: what made the weights, and which cases they have seen. Imports no torch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medimg.errors import UsageError

TRAINING_RECORD = Path("docs") / "training.json"
"""In the bundle."""

SCORED = "validation"
"""The one use of cases that teaches the weights nothing."""


@dataclass(frozen=True)
class Seen:
    """fold: "k/n", "" where the cases to validate with were named. validation: cases that were only scored.

    training: all others, those of the runs that gave the first weights, or the members of an ensemble, included.
    """

    fold: str
    training: tuple[str, ...]
    validation: tuple[str, ...]


def read_seen(bundle: Path) -> Seen:
    """Which cases the weights of a bundle have seen. Raises UsageError for one whose record does not say."""
    path = bundle / TRAINING_RECORD
    try:
        return _seen(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} does not say which cases were trained on; call medimg train with its -o again to write it"
        ) from error


def record_of_weights(weights: Path) -> dict[str, Any] | None:
    """The record beside weights that a run or a bundle holds (RUN/last.pt, BUNDLE/models/model.pt), None without."""
    for bundle in (weights.parent / "bundle", weights.parent.parent):
        with contextlib.suppress(OSError, ValueError):
            record: dict[str, Any] = json.loads((bundle / TRAINING_RECORD).read_text(encoding="utf-8"))
            return record
    return None


def _seen(record: Mapping[str, Any]) -> Seen:
    if "members" in record:
        parts = [_seen(member) for member in record["members"]]
        return _told("", [name for part in parts for name in part.training], [n for p in parts for n in p.validation])
    fold = record["task"].get("fold", "") if "task" in record else record["fold"]
    training = [name for use, names in record["cases"].items() if use != SCORED for name in names]
    if record.get("start"):
        training += _seen(record["start"]).training
    return _told(str(fold), training, record["cases"][SCORED])


def _told(fold: str, training: list[str], validation: list[str]) -> Seen:
    known = dict.fromkeys(training)
    return Seen(fold, tuple(known), tuple(name for name in dict.fromkeys(validation) if name not in known))
