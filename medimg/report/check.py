"""Whether a report.json has the shape of `medimg.report/1`: people edit files, and a report must not half work."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from medimg.geometry import is_usable

LISTS_OF_OBJECTS = ("inputs", "findings")
OBJECTS_OF_INPUT = ("headers",)
OBJECTS_OF_PROVENANCE = ("software", "selection", "device", "seconds")
NUMBERS_OF_FINDING = {"probability": 1.0, "diameter_mm": math.inf, "volume_mm3": math.inf}
"""Field -> the largest it can be; none is below 0."""

SIZES = ("_mm", "_mm2", "_mm3")
POINTS = "_lps_mm"
"""How names of measurements end that are lengths, areas and volumes, and that are points, which are not."""


def check_document(document: Any) -> None:
    """Raises ValueError that names the first thing that is not as it should be."""
    for problem in _problems(document):
        raise ValueError(problem)


def _problems(document: Any) -> Iterator[str]:
    if not isinstance(document, dict):
        yield "it is no JSON object"
        return
    for key in ("pipeline", "provenance"):
        yield from _object(document.get(key), key)
    for key in LISTS_OF_OBJECTS:
        yield from _objects(document.get(key), key)
    yield from _text(document["pipeline"].get("name"), "pipeline.name")
    yield from _strings(document.get("warnings"), "warnings")
    for number, entry in enumerate(document["inputs"]):
        yield from _input(entry, f"inputs[{number}]")
    for number, entry in enumerate(document["findings"]):
        yield from _finding(entry, f"findings[{number}]")
    yield from _names(document["findings"])
    yield from _provenance(document["provenance"])
    if document.get("segmentation") is not None:
        yield from _segmentation(document["segmentation"])
        yield from _segments(document["findings"], document["segmentation"]["labels"])
    if document.get("advice") is not None:
        yield from _objects(document["advice"], "advice")
        for number, entry in enumerate(document["advice"]):
            yield from _text(entry.get("rule"), f"advice[{number}].rule")
    for key in ("patient", "measurements", "dicom"):
        if document.get(key) is not None:
            yield from _object(document[key], key)


def _input(entry: dict[str, Any], where: str) -> Iterator[str]:
    for key in OBJECTS_OF_INPUT:
        if entry.get(key) is not None:
            yield from _object(entry[key], f"{where}.{key}")
    if entry.get("affine_ras") is not None and not is_usable(entry["affine_ras"]):
        yield f"{where}.affine_ras is no affine, 4 x 4"
    for key in ("shape", "spacing_mm"):
        if entry.get(key) is not None:
            yield from _numbers(entry[key], 3, f"{where}.{key}")


def _finding(entry: dict[str, Any], where: str) -> Iterator[str]:
    for key in ("id", "label"):
        yield from _text(entry.get(key), f"{where}.{key}")
    yield from _numbers(entry.get("center_lps_mm"), 3, f"{where}.center_lps_mm")
    if entry.get("box_lps_mm") is not None:
        yield from _numbers(entry["box_lps_mm"], 6, f"{where}.box_lps_mm")
    for key, largest in NUMBERS_OF_FINDING.items():
        if entry.get(key) is not None and not _is_number(entry[key]):
            yield f"{where}.{key} is no number"
        elif entry.get(key) is not None and not 0 <= entry[key] <= largest:
            yield f"{where}.{key} cannot be {entry[key]}"
    if entry.get("segment") is not None and not isinstance(entry["segment"], int):
        yield f"{where}.segment is no whole number"
    yield from _object(entry.get("measurements", {}), f"{where}.measurements")
    for key, value in entry.get("measurements", {}).items():
        if key.endswith(SIZES) and not key.endswith(POINTS) and value is not None and not _is_number(value):
            yield f"{where}.measurements.{key} is no number"


def _names(findings: list[dict[str, Any]]) -> Iterator[str]:
    """Tracking UIDs, the page and a comparison all tell findings apart by their ids."""
    seen: set[str] = set()
    for entry in findings:
        if entry["id"] in seen:
            yield f"there are two findings {entry['id']}"
        seen.add(entry["id"])


def _segments(findings: list[dict[str, Any]], labels: dict[str, Any]) -> Iterator[str]:
    for number, entry in enumerate(findings):
        if entry.get("segment") is not None and str(entry["segment"]) not in labels:
            yield f"findings[{number}].segment is {entry['segment']}, which is no label of the segmentation"


def _provenance(entry: dict[str, Any]) -> Iterator[str]:
    for key in OBJECTS_OF_PROVENANCE:
        if entry.get(key) is not None:
            yield from _object(entry[key], f"provenance.{key}")
    if not all(map(_is_number, (entry.get("seconds") or {}).values())):
        yield "provenance.seconds holds what is no number"
    left = (entry.get("selection") or {}).get("not_chosen")
    if left is not None:
        yield from _objects(left, "provenance.selection.not_chosen")


def _segmentation(entry: Any) -> Iterator[str]:
    yield from _object(entry, "segmentation")
    yield from _object(entry.get("labels"), "segmentation.labels")
    if not all(isinstance(name, str) for name in entry["labels"].values()):
        yield "segmentation.labels holds a name that is no text"


def _text(value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{where} is no text"


def _object(value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} is no object"


def _objects(value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        yield f"{where} is no list of objects"


def _strings(value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        yield f"{where} is no list of texts"


def _numbers(value: Any, count: int, where: str) -> Iterator[str]:
    if not isinstance(value, list) or len(value) != count or not all(map(_is_number, value)):
        yield f"{where} is not {count} numbers"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
