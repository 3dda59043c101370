"""The record a run leaves in its bundle: what made the weights, and which cases they have seen. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medimg.errors import UsageError

TRAINING_RECORD = Path("docs") / "training.json"
"""In the bundle."""


@dataclass(frozen=True)
class Seen:
    """fold: "k/n", "" where the cases to validate with were named. validation: cases that were only scored."""

    fold: str
    training: tuple[str, ...]
    validation: tuple[str, ...]


def read_seen(bundle: Path) -> Seen:
    """Which cases the weights of a bundle have seen. Raises UsageError for one whose record does not say."""
    path = bundle / TRAINING_RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        cases = record["cases"]
        fold = record["task"].get("fold", "") if "task" in record else record["fold"]
        return Seen(str(fold), tuple(cases["training"]), tuple(cases["validation"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} does not say which cases were trained on; call medimg train with its -o again to write it"
        ) from error
