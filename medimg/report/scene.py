"""What the viewer of report.html is given: scans, windows, labels, findings; and what the page says of them."""

from __future__ import annotations

import base64
from typing import Any

from medimg.report import wording
from medimg.report.display import BONE_WINDOW, BRAIN_WINDOW, LUNG_WINDOW, SOFT_TISSUE_WINDOW, Window, mr_window
from medimg.report.embed import Embedded
from medimg.report.preview import is_detection
from medimg.report.sections import Say, times
from medimg.results import Report
from medimg.study import Volume

CT_WINDOWS = {"lung": LUNG_WINDOW, "soft": SOFT_TISSUE_WINDOW, "bone": BONE_WINDOW, "brain": BRAIN_WINDOW}
OTHER_WINDOWS = ("auto", "full")

BASE64_GROWTH = 4 / 3

SHORTCUTS = (
    (("←", "→"), "key_across"),
    (("↑", "↓"), "key_down"),
    (("Page Up", "Page Down"), "key_slice"),
    (("N", "P"), "key_finding"),
    (("+", "-", "0"), "key_zoom"),
    (("1", "2", "3", "4"), "key_window"),
    (("M", "A", "C", "S"), "key_planes"),
    (("D", "W", "Esc"), "key_tools"),
    (("Delete",), "key_clear"),
    (("[", "]", "O"), "key_mask"),
    (("Wheel / \u6eda\u8f6e",), "key_wheel"),
)
"""Keys and what they do, as KEYS in templates/viewer.js has them."""


def windows_of(volumes: dict[str, Volume]) -> tuple[str, ...]:
    """The names of the buttons: those of CT where the first scan is one."""
    return tuple(CT_WINDOWS) if next(iter(volumes.values())).modality == "CT" else OTHER_WINDOWS


def scene_of(report: Report, volumes: dict[str, Volume], roles: list[str], urls: bool) -> dict[str, Any]:
    """The JSON that templates/viewer.js reads. `urls`: scans are fetched from a server, not found in the page."""
    key = "url" if urls else "id"
    suffix = ".nii.gz" if urls else ""
    scans = []
    for number, role in enumerate(roles):
        unit = "HU" if volumes[role].modality == "CT" else ""
        windows = [{"low": w.low, "high": w.high} for w in _windows(volumes[role])]
        scans.append(
            {"id": f"data-scan-{number}", key: f"data-scan-{number}{suffix}", "unit": unit, "windows": windows}
        )
    return {
        "scans": scans,
        "window": 0 if "lung" not in windows_of(volumes) or _is_chest(report) else 1,
        "labels": None if report.segmentation is None else {key: f"data-labels{suffix}", "entries": _labels(report)},
        "findings": [{"id": one.id, "center_lps_mm": list(one.center_lps_mm)} for one in report.findings],
    }


def payload(embedded: Embedded) -> list[tuple[str, str]]:
    """(id, base64) of each scan and of the labels."""
    parts = [(f"data-scan-{number}", scan.nifti_gz) for number, scan in enumerate(embedded.scans)]
    if embedded.labels_gz is not None:
        parts.append(("data-labels", embedded.labels_gz))
    return [(name, base64.b64encode(data).decode("ascii")) for name, data in parts]


def in_words(embedded: Embedded | None, first: Volume, say: Say) -> list[str]:
    """What the page shows of the scan, in sentences; `embedded` is None where a server gives out all of it."""
    if embedded is None:
        return [say("shown_served", shape=times(first.shape), spacing=times(first.spacing_mm, ".3g"))]
    grids = {
        "shape": times(embedded.shape),
        "spacing": times(embedded.spacing_mm, ".3g"),
        "full_shape": times(embedded.full_shape),
        "full_spacing": times(embedded.full_spacing_mm, ".3g"),
        "steps": times(embedded.steps),
    }
    said = [say("shown_whole" if embedded.steps == (1, 1, 1) else "shown_coarse", **grids)]
    if embedded.labels_gz is not None:
        said.append(say("shown_labels"))
    levels = {scan.levels for scan in embedded.scans if scan.levels is not None}
    if levels:
        said.append(say("shown_levels", levels=max(levels)))
    if embedded.left_out:
        said.append(say("shown_left_out", roles=", ".join(embedded.left_out)))
    size = sum(len(scan.nifti_gz) for scan in embedded.scans) * BASE64_GROWTH / 1e6
    return [*said, say("shown_size", megabytes=f"{size:.1f}")]


def _windows(volume: Volume) -> list[Window]:
    if volume.modality == "CT":
        return list(CT_WINDOWS.values())
    return [mr_window(volume), Window(float(volume.array.min()), float(volume.array.max()), "full range")]


def _is_chest(report: Report) -> bool:
    """As the preview decides: a detector's findings lie in the lung."""
    return not report.findings or report.segmentation is None or is_detection(report)


def _labels(report: Report) -> list[dict[str, Any]]:
    if report.segmentation is None:
        return []
    colours = wording.label_colours(report.segmentation.labels)
    return [
        {"value": value, "name": name, "colour": colours[value]}
        for value, name in sorted(report.segmentation.labels.items())
    ]
