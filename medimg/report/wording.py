"""Numbers and names as people read them, the same in the PNG and the HTML."""

from __future__ import annotations

from typing import Any

from medimg import geometry
from medimg.results import Finding, Segmentation

PALETTE = ("#e69f00", "#56b4e9", "#cc79a7", "#f0e442", "#009e73", "#d55e00", "#0072b2")
"""Okabe and Ito's colours, told apart by colour-blind readers and on grey images; used in turn."""

ML_FROM_MM3 = 1000.0
"""From here volumes are said in ml (1 ml = 1000 mm3)."""

UNITS = {"_mm3": "mm³", "_mm2": "mm²", "_mm": "mm", "_hu": "HU", "_mg": "mg"}
"""Suffix of a measurement's name -> unit; longest first."""

MISSING = "\N{EN DASH}"
"""Shown for what could not be measured; never 0."""

Summary = list[dict[str, Any]]


def colour(index: int) -> str:
    """Colour of the index-th label (0-based), as #rrggbb."""
    return PALETTE[index % len(PALETTE)]


def rgb(index: int) -> tuple[int, int, int]:
    """The same colour as red, green and blue, 0 to 255."""
    red, green, blue = bytes.fromhex(colour(index)[1:])
    return red, green, blue


def label_colours(labels: dict[int, str]) -> dict[int, str]:
    """Label value -> colour, in the order of the values."""
    return {value: colour(index) for index, value in enumerate(sorted(labels))}


def millimetres(value: float | None) -> str:
    """12.34 -> "12.3 mm"."""
    return MISSING if value is None else f"{value:.1f} mm"


def volume(mm3: float | None) -> str:
    """523.6 -> "524 mm³", 8496 -> "8.50 ml"."""
    if mm3 is None:
        return MISSING
    return f"{mm3 / ML_FROM_MM3:.2f} ml" if mm3 >= ML_FROM_MM3 else f"{mm3:.0f} mm³"


def probability(value: float | None) -> str:
    """0.9312 -> "0.93"."""
    return MISSING if value is None else f"{value:.2f}"


def title_of(finding: Finding) -> str:
    """One line for a finding: "nodule-1, 12.3 mm, p 0.93"; what is not known is left out."""
    parts = [finding.id]
    if finding.diameter_mm is not None:
        parts.append(millimetres(finding.diameter_mm))
    if finding.probability is not None:
        parts.append(f"p {probability(finding.probability)}")
    return ",  ".join(parts)


def split_unit(name: str) -> tuple[str, str]:
    """("long_axis_mm") -> ("long_axis", "mm"); no unit is ""."""
    for suffix, unit in UNITS.items():
        if name.endswith(suffix):
            return name[: -len(suffix)], unit
    return name, ""


def measurement(name: str, value: Any) -> tuple[str, str]:
    """("long_axis_mm", 12.34) -> ("long axis", "12.3 mm")."""
    base, unit = split_unit(name)
    return base.replace("_", " "), _quantity(value, unit) if unit else flat(value)


def flat(value: Any) -> str:
    """Any value of a report on one line; "" for what is not there."""
    if isinstance(value, dict):
        return ", ".join(" ".join(measurement(str(key), entry)) for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(flat(entry) for entry in value)
    return "" if value is None else _plain(value)


def place(center_lps_mm: tuple[float, float, float]) -> str:
    """(56.6, 85.4, -115.0) in LPS mm -> "L 56.6  P 85.4  I 115.0"."""
    letters = zip(center_lps_mm, ("LR", "PA", "SI"), strict=True)
    return "  ".join(f"{pair[value < 0]} {abs(value):.1f}" for value, pair in letters)


def dicom_date(date: str) -> str:
    """ "20000101" -> "2000-01-01"; anything else as it is."""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 and date.isdigit() else date


def label_volumes(segmentation: Segmentation) -> Summary:
    """Value, name, colour and volume_mm3 of every label, in the order of the values."""
    counts = segmentation.voxel_counts
    voxel_mm3 = geometry.voxel_volume_mm3(segmentation.affine_ras)
    colours = label_colours(segmentation.labels)
    return [
        {
            "value": value,
            "name": name,
            "colour": colours[value],
            "volume_mm3": float(counts[value] * voxel_mm3),
        }
        for value, name in sorted(segmentation.labels.items())
    ]


def pipeline_of(identity: dict[str, str]) -> str:
    """ "lung_nodule 0.1.0"."""
    return f"{identity.get('name', '?')} {identity.get('version', '')}".strip()


def _quantity(value: Any, unit: str) -> str:
    if value is None:
        return MISSING
    if isinstance(value, (list, tuple)) and all(isinstance(part, (int, float)) for part in value):
        return ", ".join(f"{float(part):.1f}" for part in value) + f" {unit}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return flat(value)
    if unit == "mm³":
        return volume(float(value))
    return millimetres(float(value)) if unit == "mm" else f"{float(value):.0f} {unit}"


def _plain(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
